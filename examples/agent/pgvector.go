package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// memoryConfig is what the environment says of the memory. A pool's workers get it from the secret of its
// VectorCollection.
type memoryConfig struct {
	store, endpoint, collection, distance string
	user, password                        string
	// caFile is the file with the store's certificate authority, if there is one. Beside it are the other parts of the
	// secret, which change there when a password does.
	caFile string
	// dim is the dimension of the vectors; model makes them.
	dim   int
	model string
}

// operators find the nearest, by distance.
var operators = map[string]string{"Cosine": "<=>", "Dot": "<#>", "L2": "<->"}

// pgNotes keeps notes in a table of PostgreSQL with pgvector, over one connection, which is made anew when it broke: a pool
// of a hundred workers takes a hundred of the server's.
type pgNotes struct {
	config *pgx.ConnConfig
	memory memoryConfig
	// table and typ are the collection's, as SQL has them.
	table, typ string
	n          int

	mu   sync.Mutex
	conn *pgx.Conn
}

// openNotes connects to the collection and sees what it is like.
func openNotes(ctx context.Context, c memoryConfig) (notes, error) {
	if c.store != "pgvector" {
		return nil, fmt.Errorf("this agent can remember in pgvector only, and VECTOR_STORE is %s: name a pgvector store in the AIDispatcher's memoryConfig.providerConfigRef, or run an agent that speaks it", c.store)
	}

	if operators[c.distance] == "" {
		return nil, fmt.Errorf("VECTOR_DISTANCE is %q and must be Cosine, Dot or L2", c.distance)
	}

	cfg, err := connConfig(c)
	if err != nil {
		return nil, err
	}

	p := &pgNotes{config: cfg, memory: c}

	ctx, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()

	if err := p.with(ctx, p.look); err != nil {
		p.close()

		return nil, err
	}

	return p, nil
}

func connConfig(c memoryConfig) (*pgx.ConnConfig, error) {
	u, err := url.Parse(c.endpoint)
	if err != nil {
		return nil, errors.New("VECTOR_ENDPOINT is not a URL such as postgres://host:5432/database")
	}

	if _, err := os.Stat(c.caFile); c.caFile != "" && err == nil {
		q := u.Query()
		q.Set("sslrootcert", c.caFile)

		if !q.Has("sslmode") {
			q.Set("sslmode", "verify-full")
		}

		u.RawQuery = q.Encode()
	}

	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, fmt.Errorf("cannot use VECTOR_ENDPOINT: %w", err)
	}

	// Poolers and servers that share a session among connections know no prepared statements.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol

	return cfg, nil
}

// with lends the connection. One that broke while nobody used it is noticed only in use, and is replaced: what is done
// with a connection can be done twice.
func (p *pgNotes) with(ctx context.Context, use func(context.Context, *pgx.Conn) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.conn != nil && !p.conn.IsClosed() {
		if err := use(ctx, p.conn); err == nil || !p.conn.IsClosed() || ctx.Err() != nil {
			return err
		}
	}

	cfg := p.config.Copy()
	cfg.User = current(p.memory.caFile, "username", p.memory.user)
	cfg.Password = current(p.memory.caFile, "password", p.memory.password)

	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("cannot connect to the memory: %w", err)
	}

	p.conn = conn

	return use(ctx, p.conn)
}

// current returns a part of the secret as it is now, or as it was at the start where it is not mounted.
func current(caFile, part, atStart string) string {
	if caFile == "" {
		return atStart
	}

	b, err := os.ReadFile(filepath.Join(filepath.Dir(caFile), part))
	if errors.Is(err, fs.ErrNotExist) || len(b) == 0 {
		return atStart
	}

	return string(b)
}

// look sees which table the collection is and of which type its vectors are. A collection is a table in a schema of its
// own, which its login has in its search path.
func (p *pgNotes) look(ctx context.Context, conn *pgx.Conn) error {
	const query = `select atttypid::regtype::text, atttypmod from pg_attribute where attrelid = to_regclass($1) and attname = 'embedding'`

	name := p.memory.collection

	for _, id := range []pgx.Identifier{{name}, {name, name}} {
		p.table = id.Sanitize()

		err := conn.QueryRow(ctx, query, p.table).Scan(&p.typ, &p.n)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}

		if err != nil {
			return fmt.Errorf("cannot look at the collection %s: %w", name, err)
		}

		if p.n != p.memory.dim {
			return fmt.Errorf("the collection %s has dimension %d and VECTOR_DIM is %d", name, p.n, p.memory.dim)
		}

		return nil
	}

	return fmt.Errorf("the collection %s is not there, or not for user %s to see", name, p.memory.user)
}

func (p *pgNotes) dim() int { return p.n }

func (p *pgNotes) near(ctx context.Context, id string, v []float32, n int) ([]string, error) {
	query := fmt.Sprintf("select content from %s where id <> $1 order by embedding %s $2::%s limit $3", p.table, operators[p.memory.distance], p.typ)

	var out []string

	err := p.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query, id, literal(v), n)
		if err != nil {
			return err
		}

		out, err = pgx.CollectRows(rows, pgx.RowTo[string])

		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot find notes: %w", err)
	}

	return out, nil
}

func (p *pgNotes) keep(ctx context.Context, id string, v []float32, content string, about map[string]string) error {
	metadata, err := json.Marshal(about)
	if err != nil {
		return fmt.Errorf("cannot keep a note: %w", err)
	}

	query := fmt.Sprintf(`insert into %s (id, embedding, content, metadata) values ($1, $2::%s, $3, $4::jsonb)
		on conflict (id) do update set embedding = excluded.embedding, content = excluded.content, metadata = excluded.metadata`, p.table, p.typ)

	if err := p.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, query, id, literal(v), content, string(metadata))

		return err
	}); err != nil {
		return fmt.Errorf("cannot keep a note: %w", err)
	}

	return nil
}

func (p *pgNotes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()

		_ = p.conn.Close(ctx) // It is given up either way.
	}
}

// literal writes a vector as pgvector reads it.
func literal(v []float32) string {
	var s strings.Builder

	for i, x := range v {
		s.WriteByte("[,"[min(i, 1)])
		s.WriteString(strconv.FormatFloat(float64(x), 'g', -1, 32))
	}

	s.WriteByte(']')

	return s.String()
}
