//go:build integration

package weaviate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/http"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// guarded has a server ask who it is, and heed what that one may do.
var guarded = []string{
	"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=false",
	"AUTHENTICATION_APIKEY_ENABLED=true",
	"AUTHENTICATION_APIKEY_ALLOWED_KEYS=key-of-root,key-of-viewer,key-of-nobody",
	"AUTHENTICATION_APIKEY_USERS=root,viewer,nobody",
	"AUTHENTICATION_DB_USERS_ENABLED=true",
	"AUTHORIZATION_RBAC_ENABLED=true",
	"AUTHORIZATION_RBAC_ROOT_USERS=root",
	"EXPERIMENTAL_AUTHORIZATION_RBAC_READONLY_USERS=viewer",
}

var root = vector.Access{APIKey: "key-of-root"}

func TestConformance(t *testing.T) {
	s := servers.Weaviate(t, guarded...)
	a := newAgent(t, s, root)

	vectortest.Run(t, vectortest.Harness{
		Backend: vector.Backend{Features: Features, Open: Open},
		Config:  vector.Config{Endpoint: s.REST, Access: root},
		Insert:  a.insert,
		Search:  a.search,
		DimLate: true,
	})
}

// An agent writes over REST, and searches over gRPC as clients of today do.
type agent struct {
	*driver

	conn *grpc.ClientConn
	ids  atomic.Int64
}

func newAgent(t *testing.T, s servers.WeaviateServer, a vector.Access) *agent {
	t.Helper()

	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return &agent{driver: open(t, vector.Config{Endpoint: s.REST, Access: a}), conn: conn}
}

// keyOf returns the key of an access, or our own.
func (a *agent) keyOf(as vector.Access) string {
	if as.APIKey == "" {
		return a.key
	}

	return as.APIKey
}

// insert writes vectors, each with what no property was made for.
func (a *agent) insert(ctx context.Context, collection string, as vector.Access, dim, n int) error {
	type written struct {
		Class      string         `json:"class"`
		ID         string         `json:"id"`
		Vector     []float32      `json:"vector"`
		Properties map[string]any `json:"properties"`
	}

	var batch struct {
		Objects []written `json:"objects"`
	}

	for range n {
		id := a.ids.Add(1)
		v := make([]float32, dim)
		v[0], v[dim-1] = float32(id), 1
		batch.Objects = append(batch.Objects, written{
			a.StoreName(collection), fmt.Sprintf("00000000-0000-4000-8000-%012x", id), v, map[string]any{"said": "so"},
		})
	}

	var results []struct {
		Result struct {
			Errors failure `json:"errors"`
		} `json:"result"`
	}

	if err := a.doAs(ctx, a.keyOf(as), http.MethodPost, "/batch/objects", batch, &results); err != nil {
		return err
	}

	for _, r := range results {
		for _, e := range r.Result.Errors.Errors {
			return errors.New(e.Message)
		}
	}

	return nil
}

// search sends a request of weaviate.v1, written by hand for want of its Go package, which comes with the server.
func (a *agent) search(ctx context.Context, name string, as vector.Access, dim int) (int, error) {
	var near, v, req, res []byte

	for range dim {
		v = binary.LittleEndian.AppendUint32(v, math.Float32bits(1))
	}

	near = protowire.AppendBytes(protowire.AppendTag(near, 4, protowire.BytesType), v)
	req = protowire.AppendString(protowire.AppendTag(req, 1, protowire.BytesType), a.StoreName(name))
	req = protowire.AppendVarint(protowire.AppendTag(req, 30, protowire.VarintType), 10)
	req = protowire.AppendBytes(protowire.AppendTag(req, 43, protowire.BytesType), near)

	if key := a.keyOf(as); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}

	if err := a.conn.Invoke(ctx, "/weaviate.v1.Weaviate/Search", &req, &res, grpc.ForceCodec(raw{})); err != nil {
		return 0, err
	}

	found := 0

	for len(res) > 0 {
		number, kind, n := protowire.ConsumeTag(res)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}

		res = res[n:]

		if n = protowire.ConsumeFieldValue(number, kind, res); n < 0 {
			return 0, protowire.ParseError(n)
		}

		res = res[n:]

		if number == 2 {
			found++
		}
	}

	return found, nil
}

// raw is a codec of what is already encoded.
type raw struct{}

func (raw) Name() string                    { return "proto" }
func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }
