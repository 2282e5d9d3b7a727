//go:build integration

package pgvector

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

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
