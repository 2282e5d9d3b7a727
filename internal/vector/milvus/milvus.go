package milvus

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Headers of each request.
const (
	authorization  = "authorization"
	databaseHeader = "dbname"
)

// A driver is one connection.
type driver struct {
	conn      *grpc.ClientConn
	c         milvuspb.MilvusServiceClient
	handshake *handshake
	// database is "" for Milvus' default.
	database string
	// anonymous says that we have no login.
	anonymous bool
}

// Open returns a driver of a Milvus: http or https, a host, perhaps a port and, as the path, a database. Invalid if the
// endpoint is anything else.
func Open(c vector.Config) (vector.Driver, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, vector.Errorf(vector.Invalid, "the endpoint of Milvus must be like http://host:19530 or https://host:443/database, without credentials")
	}

	database := strings.Trim(u.Path, "/")
	if strings.Contains(database, "/") {
		return nil, vector.Errorf(vector.Invalid, "the path of Milvus' endpoint is the name of a database: %q cannot be one", database)
	}

	d := &driver{handshake: &handshake{}, database: database, anonymous: c.Access == vector.Access{}}

	port, creds := "19530", insecure.NewCredentials()
	if u.Scheme == "https" {
		port, creds = "443", secure(c.TLS, d.handshake)
	}

	if u.Port() != "" {
		port = u.Port()
	}

	d.conn, err = grpc.NewClient("dns:///"+net.JoinHostPort(u.Hostname(), port),
		grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(headers(c.Access, database)),
		// The server that comes back is found soon: the default waits up to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
	if err != nil {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint of Milvus: %w", err)
	}

	d.c = milvuspb.NewMilvusServiceClient(d.conn)

	return d, nil
}

// Close implements vector.Driver.
func (d *driver) Close() {
	_ = d.conn.Close() // It fails only if it is closed already.
}

func secure(c *tls.Config, h *handshake) credentials.TransportCredentials {
	if c == nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12}
	}

	return remembering{TransportCredentials: credentials.NewTLS(c.Clone()), handshake: h}
}

// headers sends who asks, and of which database, with each request that does not say so itself.
func headers(a vector.Access, database string) grpc.UnaryClientInterceptor {
	who := login(a)

	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		if who != "" && len(md.Get(authorization)) == 0 {
			ctx = metadata.AppendToOutgoingContext(ctx, authorization, who)
		}

		if database != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, databaseHeader, database)
		}

		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

// login returns the header that says who asks, "" for nobody.
func login(a vector.Access) string {
	switch {
	case a.APIKey != "":
		return base64.StdEncoding.EncodeToString([]byte(a.APIKey))
	case a.User != "":
		return base64.StdEncoding.EncodeToString([]byte(a.User + ":" + a.Password))
	default:
		return ""
	}
}
