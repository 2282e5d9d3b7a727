package proc

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	type want struct {
		state string
		ticks uint64
		err   bool
	}
	cases := map[string]struct {
		reason string
		stat   string
		want   want
	}{
		"Plain": {
			reason: "The start time is the 22nd field.",
			stat:   "42 (etcd) S 1 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 1234 5 6",
			want:   want{state: "S", ticks: 1234},
		},
		"NameWithParentheses": {
			reason: "A program may be called anything, even something that looks like the rest of the line.",
			stat:   "42 (a) Z 1 (b)) R 1 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 9 0 99 5 6",
			want:   want{state: "R", ticks: 99},
		},
		"Truncated": {
			reason: "Half a line is an error, never a start time of zero.",
			stat:   "42 (etcd) S 1 42",
			want:   want{err: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			state, ticks, err := parseStat(tc.stat)
			got := want{state: state, ticks: ticks, err: err != nil}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\n%s\nparseStat(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGroup(t *testing.T) {
	dir := t.TempDir()
	g := Group{Records: filepath.Join(dir, "records"), Logs: filepath.Join(dir, "logs")}
	input := filepath.Join(dir, "input")
	if err := os.WriteFile(input, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("this machine has no sleep(1)")
	}
	s := Spec{Name: "sleeper", Path: sleep, Args: []string{"600"}, Inputs: []string{input}}
	t.Cleanup(func() { _ = g.Stop(s.Name, time.Second) })

	ensure := func(reason string, want bool) int {
		t.Helper()
		got, err := g.Ensure(s, time.Second)
		if err != nil {
			t.Fatalf("%s: Ensure(...): %v", reason, err)
		}
		if got != want {
			t.Errorf("%s: Ensure(...): want started %t, got %t", reason, want, got)
		}
		return g.PID(s.Name)
	}
	first := ensure("nothing runs", true)
	if again := ensure("it runs as specified", false); again != first {
		t.Errorf("a running process was replaced: %d by %d", first, again)
	}
	if err := os.WriteFile(input, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if second := ensure("an input changed", true); second == first {
		t.Errorf("a process with stale input was kept: %d", second)
	}
	if err := g.Stop(s.Name, time.Second); err != nil {
		t.Fatal(err)
	}
	if g.Alive(s.Name) || len(g.Names()) != 0 {
		t.Errorf("Stop(...) left something: alive %t, records %v", g.Alive(s.Name), g.Names())
	}
	if err := g.Stop(s.Name, time.Second); err != nil {
		t.Errorf("Stop(...) of what does not run: %v", err)
	}
}

func TestStopSparesRecycledID(t *testing.T) {
	dir := t.TempDir()
	g := Group{Records: dir, Logs: dir}
	self, err := observe(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Record{
		"StartedLater":  {PID: self.PID, StartTicks: self.StartTicks - 1, BootID: self.BootID},
		"BeforeTheBoot": {PID: self.PID, StartTicks: self.StartTicks, BootID: "another"},
		"NoSuchProcess": {PID: 1 << 30, StartTicks: 1, BootID: self.BootID},
	} {
		t.Run(name, func(t *testing.T) {
			if err := g.write(name, r); err != nil {
				t.Fatal(err)
			}
			// This test would not survive the signal: reaching the end of it is the assertion.
			if err := g.Stop(name, time.Second); err != nil {
				t.Errorf("Stop(...): %v", err)
			}
			if got := g.Names(); len(got) != 0 {
				t.Errorf("Stop(...) left the record of a process that is gone: %v", got)
			}
		})
	}
}
