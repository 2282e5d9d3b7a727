package milvus

import (
	"context"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A handshake remembers what was wrong with the server's certificate the last time: gRPC makes a text of it, from which
// nobody can tell a certificate that expired from a server that is down.
type handshake struct {
	wrong atomic.Pointer[error]
}

// certificate returns what is wrong with the server's certificate, nil if nothing is known to be.
func (h *handshake) certificate() error {
	if err := h.wrong.Load(); err != nil {
		return *err
	}

	return nil
}

// remembering are credentials of which the last handshake is remembered.
type remembering struct {
	credentials.TransportCredentials

	handshake *handshake
}

// ClientHandshake implements credentials.TransportCredentials.
func (r remembering) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := r.TransportCredentials.ClientHandshake(ctx, authority, conn)

	if vector.KindOf(err) == vector.CertificateInvalid {
		r.handshake.wrong.Store(&err)
	} else {
		r.handshake.wrong.Store(nil)
	}

	return c, info, err
}

// Clone implements credentials.TransportCredentials.
func (r remembering) Clone() credentials.TransportCredentials {
	return remembering{TransportCredentials: r.TransportCredentials.Clone(), handshake: r.handshake}
}
