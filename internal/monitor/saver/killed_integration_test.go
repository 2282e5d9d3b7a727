//go:build integration

package saver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// TestKilledAtEveryStepOnS3 has the steps of TestKilledAtEveryStep, with checkpoints on a server of S3.
func TestKilledAtEveryStepOnS3(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	killedAtEveryStep(t, func(at int) *home { return newHomeIn(t, s.Config("agents", fmt.Sprint("pool-", at), s.Root)) })
}

// lives is a whole life, and returns the last state of which it was acknowledged that it is saved: 0 is what it began with, and
// 3 the last one. over says that it was not killed.
func (p *pod) lives(t *testing.T) (acked int, over bool) {
	t.Helper()

	if !p.restore(t) {
		return 0, false
	}

	l := p.run(t)

	for n := 1; n <= 2; n++ {
		p.write(t, n)

		if !l.drained(t, fmt.Sprint("d", n)) {
			l.end(t)

			return n - 1, false
		}
	}

	p.write(t, 3)

	if !l.end(t) {
		return 2, false
	}

	return 3, true
}

// TestProgramKilledAtEachRequest kills the monitor, as it is shipped, at each request that it makes of a server of S3 in a life: a
// restore, two drains and the last save. Once before the server is asked, and once when the server has done it.
func TestProgramKilledAtEachRequest(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")

	program := filepath.Join(t.TempDir(), "monitor")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../cmd/monitor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // As images are built.

	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the monitor: %v\n%s", err, out)
	}

	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint("Done=", done), func(t *testing.T) {
			f := storetest.StartFaulty(t, s)

			for at := 1; ; at++ {
				if at > 200 {
					t.Fatal("the life does not end")
				}

				k := kill{server: s, faulty: f, program: program, at: at, done: done}
				if k.survived(t) {
					t.Logf("%d requests", at-1)

					break
				}
			}
		})
	}
}

// A kill is one death.
type kill struct {
	server  *storetest.S3
	faulty  *storetest.Faulty
	program string
	at      int
	done    bool
}

// survived plays it, and says whether the life was over before.
func (k kill) survived(t *testing.T) bool {
	t.Helper()

	prefix := fmt.Sprintf("pool-%t-%d", k.done, k.at)
	h := newHomeIn(t, k.server.Config("agents", prefix, k.server.Root))

	first := h.worker(t, 1)
	mustRestore(t, first, monitorapi.RestoreLatest)

	_, stop := start(t, Config{Place: first})
	(&pod{Place: first}).write(t, 0)
	stop()

	place := h.worker(t, 2)
	place.Dir = secretOf(t, storetest.ConfigAt(k.faulty.Endpoint, "agents", prefix, k.server.Root))
	p := newPod(t, k.program, place)
	k.faulty.Set(storetest.Fault{At: k.at, Done: k.done, Then: p.kill})

	acked, over := p.lives(t)

	k.faulty.Set(storetest.Fault{})

	what := fmt.Sprintf("killed at request %d", k.at)
	newest := newestOf(t, h, what, acked)

	// After one of the two deaths at a request the kubelet starts the container again; after the other the pod is gone.
	if !over && (k.at%2 == 0) == k.done {
		newest = p.goesOn(t, h, what)
	}

	next := newPod(t, k.program, h.worker(t, 9))
	if !next.restore(t) {
		t.Fatalf("%s: somebody killed the next one", what)
	}

	if a, b := read(t, next.Place, "a"), read(t, next.Place, "b"); a != newest || b != newest {
		t.Errorf("%s: the next epoch begins with %q and %q, want %q", what, a, b, newest)
	}

	return over
}

// goesOn has the same pod, on the volume that it has, save what is there, and returns that.
func (p *pod) goesOn(t *testing.T, h *home, what string) string {
	t.Helper()

	if m, err := p.readMeta(); err != nil {
		t.Fatal(err)
	} else if m == nil && !p.restore(t) {
		t.Fatalf("%s: somebody killed it again", what)
	}

	there := read(t, p.Place, "a")
	l := p.run(t)

	if !l.drained(t, "again") || !l.end(t) {
		t.Fatalf("%s: somebody killed it again", what)
	}

	n, err := strconv.Atoi(there)
	if err != nil {
		t.Fatalf("%s: the volume holds %q", what, there)
	}

	return newestOf(t, h, what+" and started again", n)
}

// newestOf returns the newest state of slot 0, which must be what was acknowledged or a later one, and whole.
func newestOf(t *testing.T, h *home, what string, acked int) string {
	t.Helper()

	volume := t.TempDir()
	r := &restorer{Place: Place{Volume: volume, Slot: "0", Epoch: 1 << 20}, repo: h.repo, log: quiet}

	got, err := r.find(t.Context(), monitorapi.RestoreLatest)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}

	if len(got.Rejected) > 0 {
		t.Errorf("%s: torn are %v", what, got.Rejected)
	}

	a, b := read(t, r.Place, "a"), read(t, r.Place, "b")
	if n, err := strconv.Atoi(a); err != nil || a != b || n < acked || n > 3 {
		t.Errorf("%s: %d was acknowledged, and %s holds %q and %q", what, acked, got.Manifest.Position, a, b)
	}

	return a
}
