package tree

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writer writes rows into a database as fast as it can, and says after each commit how many there are. Each transaction writes
// two tables, that must be equal, and moves enough pages that a copy of two moments would not be whole.
const writer = `
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
c.execute("pragma journal_mode=" + sys.argv[2])
c.execute("pragma synchronous=off")
c.execute("pragma wal_autocheckpoint=20")
c.execute("pragma cache_size=20")
c.execute("create table if not exists a (n integer primary key, v integer, x blob)")
c.execute("create table if not exists b (n integer primary key, v integer, x blob)")
v = 0
while True:
    v += 1
    c.execute("begin immediate")
    c.execute("insert or replace into a values (?, ?, randomblob(3000))", (v % 200, v))
    c.execute("update a set x = randomblob(3000) where n = ?", (v * 7919 % 200,))
    c.execute("insert or replace into b values (?, ?, randomblob(3000))", (v % 200, v))
    c.execute("commit")
    print(v, flush=True)
    time.sleep(0.001)
`

// checker opens a copy as SQLite does, recovers what is to be recovered, and says what it holds.
const checker = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
print(c.execute("pragma integrity_check").fetchall()[0][0], c.execute("select coalesce(max(v), 0) from a").fetchone()[0], c.execute("select coalesce(max(v), 0) from b").fetchone()[0])
`

func python(t *testing.T) string {
	t.Helper()

	p, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("this test needs python3, which has SQLite")
	}

	if err := exec.CommandContext(t.Context(), p, "-c", "import sqlite3").Run(); err != nil {
		t.Skip("this test needs python3 with SQLite")
	}

	return p
}

// A database that is written all the time is saved whole, with all that was committed before the save began.
func TestSQLite(t *testing.T) {
	py := python(t)

	for _, mode := range []string{"delete", "truncate", "persist", "wal"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			committed := startWriter(t, py, dir, mode)
			h := newHeap()

			var (
				before *Snapshot
				whole  int
			)

			for round := range 12 {
				least := committed()

				s, notes := save(t, dir, h, before)
				if len(notes) > 0 {
					t.Logf("notes: %v", notes)

					before = s

					continue
				}

				got := restore(t, s, h)
				if _, err := os.Stat(got + "/sessions.db-shm"); err == nil {
					t.Error("the shared memory was saved")
				}

				out, err := exec.CommandContext(t.Context(), py, "-c", checker, got+"/sessions.db").CombinedOutput()
				if err != nil {
					t.Fatalf("round %d: %v: %s", round, err, out)
				}

				var (
					integrity string
					a, b      int
				)

				if _, err := fmt.Sscan(string(out), &integrity, &a, &b); err != nil {
					t.Fatal(err)
				}

				if integrity != "ok" || a != b || a < least {
					t.Errorf("round %d: integrity %q, transactions %d and %d, and %d were committed before", round, integrity, a, b, least)
				}

				before = s
				whole++
			}

			if whole < 6 {
				t.Errorf("only %d saves of 12 could lock the database", whole)
			}
		})
	}
}

// startWriter returns a function that says how many transactions were committed so far, when there are more than before.
func startWriter(t *testing.T, py, dir, mode string) func() int {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), py, "-c", writer, filepath.Join(dir, "sessions.db"), mode)

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	var stderr strings.Builder
	cmd.Stderr = &stderr

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	counts := make(chan int, 1)
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		for sc := bufio.NewScanner(out); sc.Scan(); {
			n, err := strconv.Atoi(sc.Text())
			if err != nil {
				break
			}

			select {
			case <-counts:
			default:
			}

			counts <- n
		}

		_, _ = io.Copy(io.Discard, out)
	}()

	t.Cleanup(func() {
		_ = cmd.Process.Kill()

		<-ended

		_ = cmd.Wait()

		if stderr.Len() > 0 {
			t.Errorf("the writer failed: %s", stderr.String())
		}
	})

	return func() int { return <-counts }
}

// A database that somebody keeps locked is as it was, and that is said.
func TestLockedDatabase(t *testing.T) {
	py := python(t)
	dir := t.TempDir()
	p := filepath.Join(dir, "sessions.db")

	const hold = `
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute("create table if not exists a (n integer)")
c.execute("begin exclusive")
c.execute("insert into a values (1)")
print("held", flush=True)
sys.stdin.read()
`
	if out, err := exec.CommandContext(t.Context(), py, "-c", `import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute("create table a (n integer)")`, p).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}

	h := newHeap()
	first, _ := save(t, dir, h, nil)

	cmd := exec.CommandContext(t.Context(), py, "-c", hold, p)

	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	defer func() { _ = in.Close(); _ = cmd.Wait() }()

	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	o := options
	o.LockWait = 1

	for name, before := range map[string]*Snapshot{"as it was saved before": first, "left out": nil} {
		s, notes, err := Save(t.Context(), dir, h.put, before, o)
		if err != nil || len(notes) != 1 || !strings.Contains(notes[0].Why, name) {
			t.Fatalf("a locked database: %v, %v; want a note that it is %s", notes, err, name)
		}

		want := map[string]string{}
		if before != nil {
			want = describe(t, restore(t, first, h))
		}

		if diff := cmp.Diff(want, describe(t, restore(t, s, h))); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", name, diff)
		}
	}
}
