package qdrant

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync/atomic"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	grpcPort = "6334"
	restPort = "6333"
	// keyHeader carries the API key, or a token.
	keyHeader = "api-key"
)

// A driver is one connection. The client's own wrapper is left out: it asks the server for its version before it is used,
// warns in the log of what the configuration says, and knows no address of IPv6.
type driver struct {
	conn        *grpc.ClientConn
	collections pb.CollectionsClient
	points      pb.PointsClient
	service     pb.QdrantClient
	apiKey      string
	// capable and tokens say what is known of the server: that it has metadata, that it heeds tokens.
	capable, tokens atomic.Bool
}

// Open returns a driver of a Qdrant. Invalid if the endpoint is not one of gRPC, or there are a user and a password.
func Open(c vector.Config) (vector.Driver, error) {
	u, err := url.Parse(c.Endpoint)

	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https"),
		u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		return nil, vector.Errorf(vector.Invalid, "the endpoint of Qdrant must be like http://host:6334 or https://host:6334, without credentials and path")
	case u.Port() == restPort:
		return nil, vector.Errorf(vector.Invalid, "port %s of Qdrant speaks REST: the endpoint must name that of gRPC, which is %s if nobody changed it", restPort, grpcPort)
	case c.User != "" || c.Password != "":
		return nil, vector.Errorf(vector.Invalid, "qdrant has no users: the credentials must have an API key and nothing else")
	}

	port := grpcPort
	if u.Port() != "" {
		port = u.Port()
	}

	creds := insecure.NewCredentials()
	if u.Scheme == "https" {
		creds = secure(c.TLS)
	}

	conn, err := grpc.NewClient("dns:///"+net.JoinHostPort(u.Hostname(), port),
		grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(authorize(c.APIKey)),
		// A connection that died silently is found by the first request on it; one at rest sends nothing.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// The server that comes back is found soon: the default waits up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint of Qdrant: %w", err)
	}

	return &driver{
		conn: conn, apiKey: c.APIKey,
		collections: pb.NewCollectionsClient(conn), points: pb.NewPointsClient(conn), service: pb.NewQdrantClient(conn),
	}, nil
}

// Close implements vector.Driver.
func (d *driver) Close() {
	_ = d.conn.Close() // It fails only if it is closed already.
}

func secure(c *tls.Config) credentials.TransportCredentials {
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}

	return credentials.NewTLS(c.Clone())
}

// authorize sends the API key with each request that has no token of its own.
func authorize(key string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		if key != "" && len(md.Get(keyHeader)) == 0 {
			ctx = metadata.AppendToOutgoingContext(ctx, keyHeader, key)
		}

		return invoke(ctx, method, req, reply, cc, opts...)
	}
}
