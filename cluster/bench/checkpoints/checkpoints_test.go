//go:build bench

// Package checkpoints measures saves and restores beside others, in a program that links no more than the monitor does.
package checkpoints

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
)

// rounds is how often each case is measured; the median counts.
const rounds = 3

// A cost is what one program took: the time that passed, the processors' time, and the most memory it had resident.
type cost struct {
	wall, cpu time.Duration
	rss       int64
}

// TestCheckpoints saves and restores three states with ours, restic and tar with zstd, one after the other on the same disk.
//
// Ours is the code of the monitor in a process of its own for each save, with its settings of the garbage collector: so it opens the
// repository and reads what the last save was each time, which the monitor, running on, does not.
func TestCheckpoints(t *testing.T) {
	if os.Getenv("BENCH_CHECKPOINT") != "" {
		child(t)

		return
	}

	for _, program := range []string{"restic", "tar", "zstd", "python3"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("install %s: %v", program, err)
		}
	}

	t.Log("case / step: ours, restic, tar+zstd: wall s, CPU s, MiB resident; ratios of wall, ours to each; MiB stored")

	for _, c := range []struct {
		name         string
		fill, change func(*testing.T, string)
	}{
		{"10,000 files", smallFiles, changeSmallFiles},
		{"1 GiB file", largeFile, changeLargeFile},
		{"200 MiB SQLite", database, changeDatabase},
	} {
		if strings.Contains(c.name, os.Getenv("STATE_OF")) {
			compare(t, c.name, c.fill, c.change)
		}
	}
}

// A saver is a program that saves a state to a repository, and restores it from there. tar saves the whole of it each time.
type saver struct {
	name, dir string
	prepare   func(t *testing.T, repo string)
	save      func(t *testing.T, state, repo string) *exec.Cmd
	restore   func(t *testing.T, repo, into string) *exec.Cmd
}

func savers() []saver {
	restic := func(t *testing.T, repo string, args ...string) *exec.Cmd {
		t.Helper()

		cmd := exec.Command("restic", append([]string{"--repo", repo, "--quiet"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR="+repo+"-cache")

		return cmd
	}
	self := func(t *testing.T, what string, env ...string) *exec.Cmd {
		t.Helper()

		cmd := exec.Command(os.Args[0], "-test.run=^TestCheckpoints$")
		cmd.Env = append(os.Environ(), append(env, "BENCH_CHECKPOINT="+what)...)

		return cmd
	}

	return []saver{
		{
			name: "ours",
			save: func(t *testing.T, state, repo string) *exec.Cmd { return self(t, "save", "STATE="+state, "REPO="+repo) },
			restore: func(t *testing.T, repo, into string) *exec.Cmd {
				return self(t, "restore", "STATE="+into, "REPO="+repo)
			},
			prepare: func(t *testing.T, repo string) { run(t, self(t, "init", "REPO="+repo)) },
		},
		{
			name: "restic",
			save: func(t *testing.T, state, repo string) *exec.Cmd {
				cmd := restic(t, repo, "backup", ".")
				cmd.Dir = state

				return cmd
			},
			restore: func(t *testing.T, repo, into string) *exec.Cmd {
				return restic(t, repo, "restore", "latest", "--target", into)
			},
			prepare: func(t *testing.T, repo string) { run(t, restic(t, repo, "init")) },
		},
		{
			name: "tar+zstd",
			save: func(_ *testing.T, state, repo string) *exec.Cmd {
				return exec.Command("bash", "-c", fmt.Sprintf("set -eo pipefail; tar -C %s -c -f - . | zstd -q -f -o %s/state.tar.zst; sync -f %s", state, repo, repo))
			},
			restore: func(_ *testing.T, repo, into string) *exec.Cmd {
				return exec.Command("bash", "-c", fmt.Sprintf("set -eo pipefail; mkdir %s; zstd -q -d -c %s/state.tar.zst | tar -C %s -x -f -; sync -f %s", into, repo, into, into))
			},
			prepare: func(t *testing.T, repo string) {
				if err := os.Mkdir(repo, 0o700); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
}

func compare(t *testing.T, name string, fill, change func(*testing.T, string)) {
	t.Helper()

	steps := []string{"first save", "unchanged", "1 % changed", "restore"}
	costs := map[string][]cost{}
	stored := map[string]int64{}

	for round := range rounds {
		dir := t.TempDir()
		state := filepath.Join(dir, "state")
		fill(t, state)

		all := savers()
		for i := range all {
			all[i].dir = filepath.Join(dir, "repo-"+strconv.Itoa(i))
			all[i].prepare(t, all[i].dir)
		}

		for step, what := range steps {
			if what == "1 % changed" {
				change(t, state)
			}

			for _, s := range all {
				cmd := s.save(t, state, s.dir)
				if what == "restore" {
					cmd = s.restore(t, s.dir, filepath.Join(dir, "into-"+s.name))
				}

				key := s.name + "/" + what
				costs[key] = append(costs[key], run(t, cmd))

				if step < 3 && round == 0 {
					stored[key] = size(t, s.dir)
				}
			}
		}

		same(t, state, filepath.Join(dir, "into-ours"))

		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}

	for _, what := range steps {
		line := name + " / " + what + ":"
		wall := map[string]float64{}

		for _, s := range savers() {
			c := median(costs[s.name+"/"+what])
			wall[s.name] = c.wall.Seconds()
			line += fmt.Sprintf(" | %s %.2f s, %.2f s, %d MiB", s.name, c.wall.Seconds(), c.cpu.Seconds(), c.rss>>20)

			if n := stored[s.name+"/"+what]; n > 0 {
				line += fmt.Sprintf(", %d stored", n>>20)
			}
		}

		t.Logf("%s | %.2f of restic, %.2f of tar+zstd", line, wall["ours"]/wall["restic"], wall["ours"]/wall["tar+zstd"])
	}
}

func median(all []cost) cost {
	slices.SortFunc(all, func(a, b cost) int { return int(a.wall - b.wall) })

	return all[len(all)/2]
}

// run runs a program to its end and returns what it took: the processors' time of its children, too, but the memory of itself alone.
func run(t *testing.T, cmd *exec.Cmd) cost {
	t.Helper()

	var out bytes.Buffer

	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	ended, most := make(chan error, 1), int64(0)

	go func() { ended <- cmd.Wait() }()

	// What the system tells of a process that has ended counts what its parent had.
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case err := <-ended:
			tick.Stop()

			if err != nil {
				t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
			}

			return cost{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), rss: most}
		case <-tick.C:
			most = max(most, peak(cmd.Process.Pid))
		}
	}
}

// peak returns the most memory that a process has had resident, 0 where there is none.
func peak(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}

	_, after, ok := strings.Cut(string(b), "VmHWM:")
	if !ok {
		return 0
	}

	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		return 0
	}

	return kib << 10
}

func size(t *testing.T, dir string) (n int64) {
	t.Helper()

	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}

		i, err := d.Info()
		if err == nil {
			n += i.Size()
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	return n
}

func same(t *testing.T, a, b string) {
	t.Helper()

	if out, err := exec.Command("diff", "-r", "-q", a, b).CombinedOutput(); err != nil {
		t.Fatalf("what was restored is another state: %v\n%s", err, out)
	}
}

// child is a monitor's save or restore, of slot 0 under epoch 1.
func child(t *testing.T) {
	t.Helper()
	debug.SetGCPercent(50)

	repo, what := os.Getenv("REPO"), os.Getenv("BENCH_CHECKPOINT")
	if what == "init" {
		if err := os.Mkdir(repo, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	b, err := store.Open(t.Context(), store.Config{URL: "file://" + repo})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	key := checkpoint.DataKey{1}
	if what == "init" {
		r, err := checkpoint.Create(t.Context(), b, key, checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}, checkpoint.Options{})
		if err == nil {
			_, err = r.ClaimAt(t.Context(), "0", 1, "bench")
		}

		if err != nil {
			t.Fatal(err)
		}

		return
	}

	r, err := checkpoint.Open(t.Context(), b, key, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}

	do := restoreState
	if what == "save" {
		do = saveState
	}

	if err := do(t.Context(), r, os.Getenv("STATE")); err != nil {
		t.Fatal(err)
	}
}

// saveState saves on top of the last save, as a monitor does that knows when that was.
func saveState(ctx context.Context, r *checkpoint.Repository, state string) error {
	session, err := r.Session(ctx, "0", 1)
	if err != nil {
		return err
	}

	var last *tree.Snapshot

	all, err := r.Positions(ctx, "0")
	if err != nil {
		return err
	}

	if len(all) > 0 {
		m, err := r.Manifest(ctx, "0", all[0])
		if err != nil {
			return err
		}

		if last, err = tree.Load(ctx, state, m.Time, m.Tree, r.Get); err != nil {
			return err
		}

		if err := session.Resume(ctx, m); err != nil {
			return err
		}
	}

	snap, _, err := tree.Save(ctx, state, session.Put, last, tree.Options{Chunker: r.Pool().Chunker})
	if err != nil || snap.Same(last) {
		return err
	}

	_, err = session.Commit(ctx, checkpoint.Save{Reason: "Interval", Files: snap.Files, Bytes: snap.Bytes, Tree: snap.Tree, Chunks: snap.Chunks})

	return err
}

func restoreState(ctx context.Context, r *checkpoint.Repository, into string) error {
	_, err := r.Restore(ctx, "0", 2, func(ctx context.Context, m checkpoint.Manifest) error {
		_, err := tree.Restore(ctx, into, m.Tree, r.Get, tree.Options{Free: r.Free})

		return err
	})

	return err
}

// smallFiles makes 10,000 files of 1 to 16 KiB, half of what is in them words, in 100 directories.
func smallFiles(t *testing.T, dir string) {
	t.Helper()

	for i := range 10_000 {
		if err := os.MkdirAll(filepath.Join(dir, strconv.Itoa(i%100)), 0o700); err != nil {
			t.Fatal(err)
		}

		write(t, smallFile(dir, i), content(1<<10+mrand.IntN(15<<10)))
	}
}

func smallFile(dir string, i int) string {
	return filepath.Join(dir, strconv.Itoa(i%100), strconv.Itoa(i))
}

func changeSmallFiles(t *testing.T, dir string) {
	t.Helper()

	for i := 0; i < 10_000; i += 100 {
		write(t, smallFile(dir, i+i/100%100), content(8<<10))
	}
}

func largeFile(t *testing.T, dir string) {
	t.Helper()

	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}

	f, err := os.Create(filepath.Join(dir, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	for range 1 << 10 {
		if _, err := f.Write(content(1 << 20)); err != nil {
			t.Fatal(err)
		}
	}
}

// changeLargeFile writes over ten places of 1 MiB each.
func changeLargeFile(t *testing.T, dir string) {
	t.Helper()

	f, err := os.OpenFile(filepath.Join(dir, "large"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	for i := range int64(10) {
		if _, err := f.WriteAt(content(1<<20), i*100<<20+12345); err != nil {
			t.Fatal(err)
		}
	}
}

func database(t *testing.T, dir string) {
	t.Helper()

	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}

	sqlite(t, dir, `
c.execute("create table memory (id integer primary key, said text, vector blob)")
words = ["agent", "task", "state", "token", "memory", "slot", "model", "answer"]
for i in range(45000):
    said = " ".join(random.choice(words) for _ in range(100))
    c.execute("insert into memory values (?, ?, ?)", (i, said, random.randbytes(3800)))
`)
}

func changeDatabase(t *testing.T, dir string) {
	t.Helper()
	sqlite(t, dir, `
first = random.randrange(44000)
for i in range(first, first + 450):
    c.execute("update memory set vector = ? where id = ?", (random.randbytes(3800), i))
`)
}

func sqlite(t *testing.T, dir, program string) {
	t.Helper()

	cmd := exec.Command("python3", "-c", "import random, sqlite3\nc = sqlite3.connect('memory.db')\n"+program+"\nc.commit()\nc.close()\n")
	cmd.Dir = dir

	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot make the database: %v\n%s", err, out)
	}
}

// content is half random, and half words.
func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b[:n/2]) // Never fails.

	words := []string{"the ", "agent ", "has ", "a ", "task ", "and ", "a ", "state "}
	for i := n / 2; i < n; {
		i += copy(b[i:], words[mrand.IntN(len(words))])
	}

	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()

	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
