package servers

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A PostgreSQLServer is PostgreSQL as Debian packages it, without pgvector: it checks logins, rights and certificates, which
// PGlite does not.
type PostgreSQLServer struct {
	// Host is 127.0.0.1. Password is that of the superuser postgres.
	Host, Port, Password string
}

// Endpoint of a database of the server, with parameters such as sslmode=disable.
func (p PostgreSQLServer) Endpoint(parameters string) string {
	return "postgres://" + p.Host + ":" + p.Port + "/postgres?" + parameters
}

// PostgreSQL starts a server. With a certificate and its key, in PEM, it speaks TLS as well.
func PostgreSQL(t testing.TB, certificate, key []byte) PostgreSQLServer {
	t.Helper()

	bin := postgresBin(t)
	p := PostgreSQLServer{Host: "127.0.0.1", Port: freePort(t), Password: "a password with 'quotes'"}

	// PostgreSQL does not run as root, and the directories of tests are their user's alone.
	dir, err := os.MkdirTemp("", "postgres") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // It is temporary.

	files := map[string][]byte{"password": []byte(p.Password), "server.crt": certificate, "server.key": key}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	as := unprivileged(t, dir, files)
	data := filepath.Join(dir, "data")
	initdb := slices.Concat(as, []string{
		filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=scram-sha-256",
		"--pwfile=" + filepath.Join(dir, "password"), "--no-sync", "-E", "UTF8", "--locale=C",
	})

	if out, err := exec.CommandContext(t.Context(), initdb[0], initdb[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a database cluster: %v:\n%s", err, out)
	}

	args := slices.Concat(as, []string{filepath.Join(bin, "postgres"), "-D", data, "-p", p.Port, "-h", p.Host, "-k", dir, "-F"})
	if certificate != nil {
		args = append(args, "-l", "-c", "ssl_cert_file="+filepath.Join(dir, "server.crt"), "-c", "ssl_key_file="+filepath.Join(dir, "server.key"))
	}

	start(t, p.answers, args[0], args[1:], nil)

	return p
}

func (p PostgreSQLServer) answers(ctx context.Context) error {
	c, err := pgx.ParseConfig(p.Endpoint("sslmode=disable"))
	if err != nil {
		return err
	}

	c.User, c.Password = "postgres", p.Password

	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return err
	}

	return conn.Close(ctx)
}

// postgresBin returns where Debian puts the server's programs.
func postgresBin(t testing.TB) string {
	t.Helper()

	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("cannot find PostgreSQL: install Debian's package postgresql")
	}

	return filepath.Dir(found[len(found)-1])
}

// unprivileged gives a directory to the user postgres, and returns the beginning of a command line that runs as that user.
// Who is not root runs the server as who they are.
func unprivileged(t testing.TB, dir string, files map[string][]byte) []string {
	t.Helper()

	if os.Geteuid() != 0 {
		return nil
	}

	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("cannot run PostgreSQL as root: Debian's package makes a user for it: %v", err)
	}

	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}

	paths := []string{dir}
	for name := range files {
		paths = append(paths, filepath.Join(dir, name))
	}

	for _, path := range paths {
		if err := os.Chown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}

	return []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups"}
}
