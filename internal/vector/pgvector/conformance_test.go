//go:build integration

package pgvector

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

func TestConformance(t *testing.T) {
	endpoint := servers.PGlite(t)
	config := vector.Config{Endpoint: endpoint, Access: vector.Access{User: "postgres", Password: "postgres"}}
	a := &agent{endpoint: endpoint}

	vectortest.Run(t, vectortest.Harness{
		Backend:  vector.Backend{Features: Features, Open: Open},
		Config:   config,
		Insert:   a.insert,
		Search:   a.search,
		NoGrants: "PGlite takes every user for its superuser: logins are tested against PostgreSQL itself",
	})
}

// An agent writes and searches vectors.
type agent struct {
	endpoint string
	ids      atomic.Int64
}

func (a *agent) with(ctx context.Context, login vector.Access, do func(*pgx.Conn) error) error {
	cfg, err := pgx.ParseConfig(a.endpoint)
	if err != nil {
		return err
	}

	cfg.User, cfg.Password = "postgres", "postgres"
	if login.User != "" {
		cfg.User, cfg.Password = login.User, login.Password
	}

	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol

	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)

	return do(conn)
}

func (a *agent) insert(ctx context.Context, collection string, login vector.Access, dim, n int) error {
	var rows []string

	for range n {
		id := a.ids.Add(1)
		rows = append(rows, fmt.Sprintf("('%d', '[%d%s]')", id, id, strings.Repeat(",1", dim-1)))
	}

	return a.with(ctx, login, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "INSERT INTO "+tableOf(collection).sql()+" (id, embedding) VALUES "+strings.Join(rows, ", "))

		return err
	})
}

func (a *agent) search(ctx context.Context, name string, login vector.Access, dim int) (n int, err error) {
	err = a.with(ctx, login, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT id FROM %s ORDER BY embedding <=> '[1%s]' LIMIT 10) s",
			tableOf(name).sql(), strings.Repeat(",1", dim-1))).Scan(&n)
	})

	return n, err
}

// TestImport takes over a table that others made, and changes nothing of it but its comment and indexes.
func TestImport(t *testing.T) {
	endpoint := servers.PGlite(t)
	a := &agent{endpoint: endpoint}

	for _, sql := range []string{
		"CREATE EXTENSION vector",
		"CREATE TABLE public.docs (n bigint PRIMARY KEY, body text, vec halfvec(4))",
		"COMMENT ON TABLE public.docs IS 'The shop''s documents'",
		"CREATE INDEX theirs ON public.docs USING hnsw (vec halfvec_l2_ops) WITH (m = 8)",
		"CREATE TABLE public.plain (n bigint)",
		"INSERT INTO public.docs SELECT n, 'x', '[1,2,3,4]' FROM generate_series(1, 12000) n",
		"ANALYZE public.docs",
	} {
		if err := a.with(t.Context(), vector.Access{}, func(c *pgx.Conn) error { _, err := c.Exec(t.Context(), sql); return err }); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}

	d, err := Open(vector.Config{Endpoint: endpoint, Access: vector.Access{User: "postgres", Password: "postgres"}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()

	st, err := d.Describe(t.Context(), "public.docs")
	if err != nil {
		t.Fatal(err)
	}

	vectors := int64(12000)
	want := vector.State{
		Vectors: &vectors, Approximate: true, IndexState: vector.IndexReady, Aliases: []string{},
		Properties: vector.Properties{
			Dim: 4, Distance: vector.L2, Index: vector.HNSW, M: number(8), EfConstruction: number(64), Quantization: vector.Half, IndexedFields: []vector.Field{},
		},
	}
	if diff := cmp.Diff(want, st); diff != "" {
		t.Errorf("Describe: -want, +got:\n%s", diff)
	}

	if err := d.Alter(t.Context(), vector.Spec{Name: "public.docs", Owner: "us"}, st); err != nil {
		t.Fatal(err)
	}

	want.Owner = "us"

	st, err = d.Describe(t.Context(), "public.docs")
	if diff := cmp.Diff(want, st); err != nil || diff != "" {
		t.Errorf("after it was stamped: %v: -want, +got:\n%s", err, diff)
	}

	if err := d.Alter(t.Context(), vector.Spec{Name: "public.docs", Owner: "us", Properties: vector.Properties{M: number(12)}}, st); err != nil {
		t.Fatal(err)
	}

	if st, err = d.Describe(t.Context(), "public.docs"); err != nil || *st.M != 12 || *st.EfConstruction != 64 || st.IndexState != vector.IndexReady {
		t.Errorf("after another m was asked for: %v, %+v", err, st)
	}

	if _, err := d.Describe(t.Context(), "public.plain"); !vector.Is(err, vector.Invalid) {
		t.Errorf("a table without vectors is described: %v", err)
	}

	if err := d.Create(t.Context(), vector.Spec{Name: "public.new", Properties: vector.Properties{Dim: 3}}); !vector.Is(err, vector.Invalid) {
		t.Errorf("a table in a schema of others is made: %v", err)
	}
}
