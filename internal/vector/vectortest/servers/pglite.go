package servers

import (
	"context"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// pgliteConnections is how many connections a PGlite takes at once. They share one session.
const pgliteConnections = 20

// PGlite starts PostgreSQL with pgvector as a program of WebAssembly that keeps its data in memory, and returns its
// endpoint. It checks no password, takes every user for its superuser, and has one session for all connections.
func PGlite(t testing.TB) string {
	t.Helper()

	port := freePort(t)
	endpoint := "postgres://127.0.0.1:" + port + "/postgres?sslmode=disable"

	start(t, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, endpoint+"&user=postgres")
		if err != nil {
			return err
		}

		return conn.Close(ctx)
	}, inCache(t, "npm", "pglite", "node_modules", ".bin", "pglite-server"),
		[]string{"--db=memory://", "--port=" + port, "-m", strconv.Itoa(pgliteConnections), "-e", "@electric-sql/pglite-pgvector:vector"}, nil)

	return endpoint
}
