// Package milvustest is a fake of Milvus behind its real gRPC interface: what its server accepts, refuses (with the same
// codes) and does later than it says. It must not know the driver, whose expectations it is there to disappoint.
//
// No Milvus runs without its containers, so its rules are from its source (milvus-io/milvus, 2.6: internal/proxy for what is
// checked first, internal/rootcoord for schemas, aliases and roles, internal/datacoord for indexes, internal/querycoordv2
// for loading, pkg/util/merr for codes), and each is told of where it stands. Nothing is searched: a search says how many
// vectors there are.
package milvustest

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Options of a Server. The zero value is a server without passwords, that does at once what it is told.
type Options struct {
	// Address to listen at: a free port of this machine if it is empty.
	Address string
	// RootPassword of the user root. If it is empty Milvus lets everybody in, and who they are does not matter.
	RootPassword string
	// Collections that there may be: 0 is as many as Milvus allows, 65536.
	Collections int
	// QueryNodes are as many as a collection can have replicas: 0 is 1.
	QueryNodes int
	// NoDisk says that no node builds indexes on disk.
	NoDisk bool
	// LoadTime and BuildTime are how long it takes from the request until a collection is loaded, an index built.
	LoadTime, BuildTime time.Duration
	// TLS of the listener, nil for none.
	TLS *tls.Config
}

// A Server is a Milvus. It stops with its test.
type Server struct {
	milvuspb.UnimplementedMilvusServiceServer

	opts Options
	addr string

	mu          sync.Mutex
	collections map[string]*collection
	aliases     map[string]string
	users       map[string]string
	roles       map[string]*role
	nextID      int64
	calls       map[string]int
	fail        func(ctx context.Context, method string) error
}

// Start returns a running Server.
func Start(t testing.TB, o Options) *Server {
	t.Helper()

	if o.Collections == 0 {
		o.Collections = 65536
	}

	o.QueryNodes = max(o.QueryNodes, 1)

	s := &Server{
		opts: o, collections: map[string]*collection{}, aliases: map[string]string{}, calls: map[string]int{},
		users: map[string]string{rootUser: o.RootPassword}, roles: map[string]*role{"admin": {}, "public": {}},
	}

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", cmp.Or(o.Address, "127.0.0.1:0"))
	if err != nil {
		t.Fatalf("cannot listen: %v", err)
	}

	s.addr = l.Addr().String()

	opts := []grpc.ServerOption{grpc.UnaryInterceptor(s.intercept)}
	if o.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(o.TLS)))
	}

	g := grpc.NewServer(opts...)
	milvuspb.RegisterMilvusServiceServer(g, s)

	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()

	t.Cleanup(func() {
		g.Stop()

		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("the fake of Milvus ended: %v", err)
		}
	})

	return s
}

// Address is where the server listens, host and port.
func (s *Server) Address() string { return s.addr }

// Fail has every request answered by f first, with the name of the method; nil lets it through. An error of Err becomes
// the status of an answer, as Milvus' own are; any other an error of gRPC.
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

// Rows returns how many vectors a collection has, and whether there is such a collection.
func (s *Server) Rows(name string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	c, ok := s.collections[name]
	if !ok {
		return 0, false
	}

	return c.rows, true
}

// find returns a collection by its name or an alias: most requests take either (rootcoord: GetCollectionByName).
func (s *Server) find(name string) (*collection, error) {
	if of, ok := s.aliases[name]; ok {
		name = of
	}

	c, ok := s.collections[name]
	if !ok {
		return nil, Err(100, "collection not found[database=default][collection=%s]", name)
	}

	return c, nil
}

// id returns one that was not used before.
func (s *Server) id() int64 {
	s.nextID++

	return 446000000000000000 + s.nextID
}
