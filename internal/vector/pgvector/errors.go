package pgvector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// kinds of errors by SQLSTATE, and where that says nothing by its class (PostgreSQL's documentation, appendix A).
var kinds = map[string]vector.Kind{
	"28P01": vector.Unauthenticated,  // invalid_password
	"28000": vector.Unauthenticated,  // invalid_authorization_specification
	"42501": vector.PermissionDenied, // insufficient_privilege
	"42P01": vector.NotFound,         // undefined_table
	"3F000": vector.NotFound,         // invalid_schema_name
	"3D000": vector.Invalid,          // invalid_catalog_name
	"42P06": vector.Exists,           // duplicate_schema
	"42P07": vector.Exists,           // duplicate_table
	"42710": vector.Exists,           // duplicate_object
	"55P03": vector.Unavailable,      // lock_not_available
	"58P01": vector.Unsupported,      // undefined_file
	"0A":    vector.Unsupported,
	"08":    vector.Unavailable,
	"53":    vector.QuotaExceeded,
	"54":    vector.QuotaExceeded,
	"57":    vector.Unavailable,
	"40":    vector.Unavailable,
	"22":    vector.Invalid,
	"23":    vector.Invalid,
	"42":    vector.Invalid,
}

// classify gives an error its kind.
func classify(ctx context.Context, err error) error {
	var pg *pgconn.PgError

	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg):
		return fromServer(pg)
	case err.Error() == "closed pool":
		return vector.Errorf(vector.Unavailable, "the connection is closed")
	case ctx.Err() != nil:
		return &vector.Error{Kind: vector.Unavailable, Err: ctx.Err()}
	}

	if k := vector.KindOf(err); k != vector.Unknown {
		return &vector.Error{Kind: k, Err: reason(err)}
	}

	// A connection that breaks has no better name.
	return &vector.Error{Kind: vector.Unavailable, Err: reason(err)}
}

// reason leaves out what an error of connecting says of the login.
func reason(err error) error {
	var c *pgconn.ConnectError
	if errors.As(err, &c) && c.Unwrap() != nil {
		return fmt.Errorf("cannot connect to %s: %w", c.Config.Host, c.Unwrap())
	}

	return err
}

func fromServer(pg *pgconn.PgError) error {
	kind, ok := kinds[pg.Code]
	if !ok && len(pg.Code) == 5 {
		kind, ok = kinds[pg.Code[:2]]
	}

	if !ok {
		kind = vector.Unknown
	}

	// What the server cannot open, or does not know, is the extension.
	if strings.Contains(pg.Message, `extension "vector"`) || pg.Code == "58P01" {
		return vector.Errorf(vector.Unsupported, "the extension vector is not installed on the PostgreSQL server: install pgvector 0.7 or later there (%s)", pg.Message)
	}

	if pg.Code == "42704" && strings.Contains(pg.Message, `"vector"`) || pg.Code == "42704" && strings.Contains(pg.Message, `"halfvec"`) {
		return vector.Errorf(vector.Unsupported, "the database has no type of vectors: have somebody who may run CREATE EXTENSION vector there, version 0.7 or later (%s)", pg.Message)
	}

	return vector.Errorf(kind, "PostgreSQL says: %s (SQLSTATE %s)", pg.Message, pg.Code)
}
