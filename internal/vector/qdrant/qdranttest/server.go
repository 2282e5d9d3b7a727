// Package qdranttest is a fake of Qdrant behind its real gRPC interface: what its server accepts, refuses (with the same codes)
// and does later than it says. It must not know the driver, whose expectations it is there to disappoint.
//
// Qdrant cannot be built where these tests run, so its rules are from its source (qdrant/qdrant: src/common/auth for
// keys and tokens, lib/storage/src/rbac for what they open, lib/storage/src/content_manager for collections and aliases,
// lib/collection/src/operations for what is validated), and each is told of where it stands. Nothing is compared: a
// search finds whatever is there.
package qdranttest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Options of a Server. The zero value is a server of one node that lets everybody in and does at once what it is told.
type Options struct {
	// Address to listen on, "" for a free port.
	Address string
	// Version it says it is of, "" for 1.17.0. Before 1.16 it forgets metadata.
	Version string
	// APIKey opens everything, ReadOnlyKey all that changes nothing. If both are empty nobody is asked.
	APIKey, ReadOnlyKey string
	// Tokens says that it takes tokens signed with the APIKey (service.jwt_rbac).
	Tokens bool
	// Collections that there may be (storage.max_collections), 0 for any number.
	Collections int
	// FieldIndexes that a collection may have (max_payload_index_count of the strict mode), 0 for any number.
	FieldIndexes int
	// Nodes that replicas are spread over when a collection is made, 0 for 1.
	Nodes uint32
	// IndexTime is how long it takes to index what was written or configured, and IndexingThreshold how many kB of vectors
	// there must be for it: 0 is 20000.
	IndexTime         time.Duration
	IndexingThreshold uint64
	// TLS of the listener, nil for none.
	TLS *tls.Config
}

// A Server is a Qdrant. It stops with its test.
type Server struct {
	pb.UnimplementedCollectionsServer

	opts Options
	addr string

	mu          sync.Mutex
	collections map[string]*collection
	aliases     map[string]string
	calls       map[string]int
	fail        func(ctx context.Context, method string) error
}

// Start returns a running Server.
func Start(t testing.TB, o Options) *Server {
	t.Helper()

	if o.Version == "" {
		o.Version = "1.17.0"
	}

	if o.IndexingThreshold == 0 {
		o.IndexingThreshold = 20000
	}

	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}

	o.Nodes = max(o.Nodes, 1)

	s := &Server{opts: o, collections: map[string]*collection{}, aliases: map[string]string{}, calls: map[string]int{}}

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", o.Address)
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}

	s.addr = l.Addr().String()

	// Qdrant does not mind pings; gRPC for Go would.
	opts := []grpc.ServerOption{
		grpc.UnaryInterceptor(s.intercept),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	}
	if o.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.TLS)))
	}

	g := grpc.NewServer(opts...)
	pb.RegisterCollectionsServer(g, s)
	pb.RegisterPointsServer(g, points{s: s})
	pb.RegisterQdrantServer(g, service{s: s})

	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()

	t.Cleanup(func() {
		g.Stop()

		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the fake of Qdrant ended: %v", err)
		}
	})

	return s
}

// Address is where the server listens, host and port.
func (s *Server) Address() string { return s.addr }

// Fail has every request answered by f first, with the name of the method ("Collections/Create"); nil lets it through.
func (s *Server) Fail(f func(ctx context.Context, method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.fail = f
}

// Calls returns how often each method was called, and forgets it.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()

	out := s.calls
	s.calls = map[string]int{}

	return out
}

// Points returns how many points a collection has, and whether there is such a collection.
func (s *Server) Points(name string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	c, ok := s.collections[name]
	if !ok {
		return 0, false
	}

	return len(c.points), true
}

// SetReplica sets the state of all replicas of a shard but the first.
func (s *Server) SetReplica(name string, st pb.ReplicaState) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.collections[name].others = st
}

// intercept counts a request, lets it fail, and asks who it is from and what it may do.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := path.Base(path.Dir(info.FullMethod))[len("qdrant."):] + "/" + path.Base(info.FullMethod)

	s.mu.Lock()
	s.calls[method]++
	fail := s.fail
	s.mu.Unlock()

	if fail != nil {
		if err := fail(ctx, method); err != nil {
			return nil, err
		}
	}

	a, err := s.admit(ctx, method)
	if err != nil {
		return nil, err
	}

	if err := validate(req); err != nil {
		return nil, err
	}

	if err := a.allows(method, req); err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	return handle(context.WithValue(ctx, accessKey{}, a), req)
}

// A service tells of the server itself.
type service struct {
	pb.UnimplementedQdrantServer

	s *Server
}

// HealthCheck implements pb.QdrantServer.
func (v service) HealthCheck(context.Context, *pb.HealthCheckRequest) (*pb.HealthCheckReply, error) {
	return &pb.HealthCheckReply{Title: "qdrant - vector search engine", Version: v.s.opts.Version}, nil
}
