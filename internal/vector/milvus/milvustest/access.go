package milvustest

import (
	"context"
	"encoding/base64"
	"path"
	"slices"
	"strings"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const rootUser = "root"

// A role has permissions, and users who have it.
type role struct {
	permissions []permission
	users       []string
}

// A permission is a privilege, or a group of them, on what a request names.
type permission struct{ database, object, privilege string }

// readOnly is the group CollectionReadOnly (pkg/util: CollectionReadOnlyPrivileges).
var readOnly = []string{
	"Query", "Search", "IndexDetail", "GetFlushState", "GetLoadState", "GetLoadingProgress", "HasPartition",
	"ShowPartitions", "ListAliases", "DescribeCollection", "DescribeAlias", "GetStatistics",
}

// public is what everybody may (rootcoord: initPublicRolePrivilege).
var public = []string{"DescribeCollection", "ListAliases", "IndexDetail"}

// intercept asks the three that stand before Milvus' proxy: the fault of the test, who asks, and whether they may.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)

	s.mu.Lock()
	s.calls[method]++
	fail := s.fail
	s.mu.Unlock()

	if fail != nil {
		if err := fail(ctx, method); err != nil {
			return s.failed(method, err)
		}
	}

	if err := s.authorize(ctx, req); err != nil {
		return nil, err
	}

	// Milvus answers with a status and not with an error of gRPC, whatever becomes of the request.
	s.mu.Lock()
	defer s.mu.Unlock()

	return handle(ctx, req)
}

// authorize says who asks (proxy: AuthenticationInterceptor) and whether they may (PrivilegeInterceptor). Both answer with
// errors of gRPC.
func (s *Server) authorize(ctx context.Context, req any) error {
	if s.opts.RootPassword == "" {
		return nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	md, _ := metadata.FromIncomingContext(ctx)

	token := md.Get("authorization")
	if len(token) == 0 {
		return grpcstatus.Error(codes.Unauthenticated, "missing authorization in header")
	}

	raw, err := base64.StdEncoding.DecodeString(token[0])
	if err != nil {
		return grpcstatus.Error(codes.Unauthenticated, "invalid token format")
	}

	user, password, ok := strings.Cut(string(raw), ":")
	if !ok {
		return grpcstatus.Error(codes.Unauthenticated, "auth check failure, please check api key is correct")
	}

	if want, known := s.users[user]; !known || want != password {
		return grpcstatus.Error(codes.Unauthenticated, "auth check failure, please check username and password are correct")
	}

	if user == rootUser || s.may(user, req) {
		return nil
	}

	return grpcstatus.Errorf(codes.PermissionDenied, "%s: permission deny to %s in the `default` database", privilegeOf(req), user)
}

// may says whether a user may make a request: its message says what privilege that takes, and which of its fields is the
// name of the object. That name is taken as it is, alias or not.
func (s *Server) may(user string, req any) bool {
	ext := extension(req)
	if ext == nil {
		return true // Requests without one are for everybody: GetVersion, Connect.
	}

	needed := privilegeOf(req)
	if slices.Contains(public, needed) {
		return true
	}

	object := "*"

	if m, ok := req.(proto.Message); ok && ext.GetObjectNameIndex() > 0 {
		r := m.ProtoReflect()
		if f := r.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(ext.GetObjectNameIndex())); f != nil && f.Kind() == protoreflect.StringKind {
			object = r.Get(f).String()
		}
	}

	if ext.GetObjectType() == commonpb.ObjectType_User && object == user {
		return true
	}

	for _, r := range s.roles {
		if !slices.Contains(r.users, user) {
			continue
		}

		for _, p := range r.permissions {
			if (p.object == object || p.object == "*") && (p.privilege == needed || p.privilege == "CollectionReadOnly" && slices.Contains(readOnly, needed)) {
				return true
			}
		}
	}

	return false
}

// privilegeOf returns the name of the privilege that a request takes.
func privilegeOf(req any) string {
	return strings.TrimPrefix(extension(req).GetObjectPrivilege().String(), "Privilege")
}

func extension(req any) *commonpb.PrivilegeExt {
	m, ok := req.(proto.Message)
	if !ok {
		return nil
	}

	opts := m.ProtoReflect().Descriptor().Options()
	if !proto.HasExtension(opts, commonpb.E_PrivilegeExtObj) {
		return nil
	}

	ext, _ := proto.GetExtension(opts, commonpb.E_PrivilegeExtObj).(*commonpb.PrivilegeExt)

	return ext
}

// failed answers with an error of the test.
func (s *Server) failed(method string, err error) (any, error) {
	if _, ok := err.(*merr); !ok { //nolint:errorlint // Of Err, and not something that wraps one.
		return nil, err
	}

	answer, known := answers[method]
	if !known {
		return status(err), nil
	}

	return answer(status(err)), nil
}
