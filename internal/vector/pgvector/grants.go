package pgvector

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Grant implements vector.Granter: a role that can log in, and use the schemas it is told of.
func (d *driver) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	comment, exists, err := d.role(ctx, g.Login)
	if err != nil {
		return vector.Access{}, err
	}

	if exists && !readNote(comment).ours() {
		return vector.Access{}, vector.Errorf(vector.Exists, "there is a role %q, and it was not made by us", g.Login)
	}

	access, statements := last, []string{serialized}
	if !exists || last.User != g.Login || readNote(comment).Fingerprint != fingerprint(last.Password) {
		access = vector.Access{User: g.Login, Password: rand.Text() + rand.Text()}
		statements = append(statements, admit(g.Login, access.Password, exists)...)
	}

	rights, err := d.rights(ctx, g)
	if err != nil {
		return vector.Access{}, err
	}

	if err := d.exec(ctx, append(statements, rights...)...); err != nil {
		return vector.Access{}, err
	}

	return access, nil
}

// admit returns the statements that make a login, or give it another password. The server is sent a verifier: what it logs
// nobody can log in with.
func admit(login, password string, exists bool) []string {
	verb := "CREATE ROLE "
	if exists {
		verb = "ALTER ROLE "
	}

	return []string{
		verb + identifier(login) + " LOGIN NOCREATEDB NOCREATEROLE PASSWORD " + literal(verifier(password)),
		"COMMENT ON ROLE " + identifier(login) + " IS " + note{Fingerprint: fingerprint(password)}.sql(),
	}
}

// rights returns the statements that let a login reach what it should, and nothing it did before.
func (d *driver) rights(ctx context.Context, g vector.Grant) ([]string, error) {
	tables := make([]table, 0, len(g.Aliases)+len(g.Collections))
	for _, a := range g.Aliases {
		tables = append(tables, table{schema: a, name: a})
	}

	for _, c := range g.Collections {
		tables = append(tables, tableOf(c))
	}

	had, err := d.reached(ctx, g.Login)
	if err != nil {
		return nil, err
	}

	var (
		statements []string
		path       []string
	)

	for _, schema := range had {
		if !slices.ContainsFunc(tables, func(t table) bool { return t.schema == schema }) {
			statements = append(statements, letOut(g.Login, schema)...)
		}
	}

	for _, t := range tables {
		statements = append(statements, letIn(g.Login, t.schema, t.sql())...)
		path = append(path, identifier(t.schema))
	}

	// The operators that compare vectors are found by this path as well.
	extension, err := d.names(ctx, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'")
	if err != nil {
		return nil, err
	}

	for _, schema := range extension {
		path = append(path, identifier(schema))
	}

	if len(path) > 0 {
		statements = append(statements, "ALTER ROLE "+identifier(g.Login)+" SET search_path = "+strings.Join(path, ", "))
	}

	return statements, nil
}

func letIn(login, schema, relation string) []string {
	return []string{
		"GRANT USAGE ON SCHEMA " + identifier(schema) + " TO " + identifier(login),
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + relation + " TO " + identifier(login),
	}
}

func letOut(login, schema string) []string {
	return []string{
		"REVOKE ALL ON ALL TABLES IN SCHEMA " + identifier(schema) + " FROM " + identifier(login),
		"REVOKE ALL ON SCHEMA " + identifier(schema) + " FROM " + identifier(login),
	}
}

// Revoke implements vector.Granter.
func (d *driver) Revoke(ctx context.Context, login string) error {
	comment, exists, err := d.role(ctx, login)
	if err != nil || !exists || !readNote(comment).ours() {
		return err
	}

	had, err := d.reached(ctx, login)
	if err != nil {
		return err
	}

	statements := []string{serialized}
	for _, schema := range had {
		statements = append(statements, letOut(login, schema)...)
	}

	return d.exec(ctx, append(statements, "DROP ROLE IF EXISTS "+identifier(login))...)
}

// reached returns the schemas a login was let into.
func (d *driver) reached(ctx context.Context, login string) ([]string, error) {
	return d.names(ctx, `SELECT DISTINCT n.nspname FROM pg_namespace n, aclexplode(n.nspacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE r.rolname = $1 ORDER BY 1`, login)
}

// role returns the comment of a role, and whether there is one.
func (d *driver) role(ctx context.Context, name string) (comment string, exists bool, err error) {
	comments, err := d.names(ctx, "SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = $1", name)
	if err != nil || len(comments) == 0 {
		return "", false, err
	}

	return comments[0], true, nil
}

// fingerprint tells whether a password is the one that was set. It is random and long, so that its hash gives nothing away.
func fingerprint(password string) string {
	sum := sha256.Sum256([]byte("aidispatcher " + password))

	return hex.EncodeToString(sum[:16])
}

// iterations of the verifier, as PostgreSQL has them by default.
const iterations = 4096

// verifier returns what PostgreSQL keeps of a password: SCRAM-SHA-256, RFC 5803.
func verifier(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // It never fails.

	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err) // The lengths are constants.
	}

	stored := sha256.Sum256(keyed(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString

	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(keyed(salted, "Server Key")))
}

func keyed(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))

	return h.Sum(nil)
}
