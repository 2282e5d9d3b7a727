package qdranttest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// leeway of clocks for tokens that expire (jwt_parser.rs).
const leeway = 30 * time.Second

// reading are the methods that a key for reading opens (READ_ONLY_RPC_PATHS of src/tonic/auth.rs).
var reading = []string{
	"Qdrant/HealthCheck", "Collections/Get", "Collections/List", "Collections/CollectionExists", "Collections/ListAliases",
	"Collections/ListCollectionAliases", "Collections/CollectionClusterInfo", "Points/Query", "Points/Count",
}

// managing are the methods that need access to everything (check_collection_meta_operation of rbac/ops_checks.rs).
var managing = []string{"Collections/Create", "Collections/Update", "Collections/Delete", "Collections/UpdateAliases"}

// An access is what a key or token opens: everything, to manage ("m") or to read ("r"), or collections by the names in a
// request, aliases among them, to read ("r") or to read and write ("rw").
type access struct {
	global      string
	collections map[string]string
}

// An accessKey finds the access of a request.
type accessKey struct{}

// admit returns what the key of a request opens (validate_request of src/common/auth).
func (s *Server) admit(ctx context.Context, method string) (access, error) {
	if s.opts.APIKey == "" && s.opts.ReadOnlyKey == "" {
		return access{global: "m"}, nil
	}

	md, _ := metadata.FromIncomingContext(ctx)
	keys := md.Get("api-key")

	if len(keys) == 0 {
		for _, v := range md.Get("authorization") {
			if bearer, ok := strings.CutPrefix(v, "Bearer "); ok {
				keys = append(keys, bearer)
			}
		}
	}

	switch {
	case len(keys) == 0:
		return access{}, status.Error(codes.Unauthenticated, "Must provide an API key or an Authorization bearer token")
	case s.opts.APIKey != "" && keys[0] == s.opts.APIKey:
		return access{global: "m"}, nil
	case s.opts.ReadOnlyKey != "" && keys[0] == s.opts.ReadOnlyKey:
		if !slices.Contains(reading, method) {
			return access{}, status.Error(codes.PermissionDenied, "Write access denied")
		}

		return access{global: "r"}, nil
	case s.opts.Tokens && s.opts.APIKey != "":
		return open(keys[0], s.opts.APIKey)
	default:
		return access{}, unknownKey()
	}
}

func unknownKey() error {
	return status.Error(codes.Unauthenticated, "Invalid API key or JWT")
}

// open returns what a token opens (jwt_parser.rs, claims.rs). One signed with another key is known to be a token, and
// forbidden; what is none is an unknown key.
func open(token, key string) (access, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return access{}, unknownKey()
	}

	var head struct {
		Alg string `json:"alg"`
	}

	var claims struct {
		Exp    int64           `json:"exp"`
		Access json.RawMessage `json:"access"`
	}

	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decode(parts[0], &head) || head.Alg != "HS256" || !decode(parts[1], &claims) {
		return access{}, unknownKey()
	}

	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(parts[0] + "." + parts[1]))

	if !hmac.Equal(signature, mac.Sum(nil)) {
		return access{}, status.Error(codes.PermissionDenied, "InvalidSignature")
	}

	if claims.Exp != 0 && time.Now().Add(-leeway).After(time.Unix(claims.Exp, 0)) {
		return access{}, status.Error(codes.PermissionDenied, "ExpiredSignature")
	}

	return parse(claims.Access)
}

func decode(part string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)

	return err == nil && json.Unmarshal(b, into) == nil
}

// parse reads the claim of access: a word for everything, or a list of collections.
func parse(raw json.RawMessage) (access, error) {
	var a access
	if json.Unmarshal(raw, &a.global) == nil {
		if a.global != "m" && a.global != "r" {
			return a, unknownKey()
		}

		return a, nil
	}

	var list []struct {
		Collection string `json:"collection"`
		Access     string `json:"access"`
	}

	if json.Unmarshal(raw, &list) != nil {
		return a, unknownKey()
	}

	a = access{collections: map[string]string{}}

	for _, l := range list {
		if l.Access != "r" && l.Access != "rw" {
			return a, unknownKey()
		}

		a.collections[l.Collection] = l.Access
	}

	return a, nil
}

// allows says whether a request may be made. Lists are open to all, and show what one may see.
func (a access) allows(method string, req any) error {
	read := slices.Contains(reading, method)

	if a.collections == nil {
		if !read && a.global != "m" {
			return forbidden("Global manage access is required")
		}

		return nil
	}

	if slices.Contains(managing, method) {
		return forbidden("Global access is required")
	}

	r, ok := req.(interface{ GetCollectionName() string })
	if !ok {
		return nil
	}

	switch mode, ok := a.collections[r.GetCollectionName()]; {
	case !ok:
		return forbidden("Access to collection " + r.GetCollectionName() + " is required")
	case !read && mode != "rw":
		return forbidden("Write access to collection " + r.GetCollectionName() + " is required")
	}

	return nil
}

// sees says whether a collection is in the lists that one is shown.
func sees(ctx context.Context, collection string) bool {
	a, ok := ctx.Value(accessKey{}).(access)
	if !ok {
		return false
	}

	_, listed := a.collections[collection]

	return a.collections == nil || listed
}

func forbidden(text string) error {
	return status.Error(codes.PermissionDenied, "Forbidden: "+text)
}
