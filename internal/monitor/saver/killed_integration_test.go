//go:build integration

package saver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// TestKilledAtEveryStepOnS3 has the steps of TestKilledAtEveryStep, with checkpoints on a server of S3.
func TestKilledAtEveryStepOnS3(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	killedAtEveryStep(t, func(at int) *home { return newHomeIn(t, s.Config("agents", fmt.Sprint("pool-", at), s.Root)) })
}

// A pod is one whose monitor is the program itself, and whose agent is the test.
type pod struct {
	Place

	program, podinfo string

	mu      sync.Mutex
	process *os.Process
}

func newPod(t *testing.T, program string, p Place) *pod {
	t.Helper()

	w := &pod{Place: p, program: program, podinfo: t.TempDir()}
	w.annotate(t, "")

	return w
}

// annotate writes the pod's annotations, with a drain or without.
func (p *pod) annotate(t *testing.T, drain string) {
	t.Helper()

	text := fmt.Sprintf("%s=\"0\"\n%s=\"%d\"\n%s=%q\n", monitorapi.AnnotationSlot, monitorapi.AnnotationEpoch, p.Epoch, monitorapi.AnnotationRestore, monitorapi.RestoreLatest)
	if drain != "" {
		text += fmt.Sprintf("%s=%q\n", monitorapi.AnnotationDrain, drain)
	}

	if err := writeFile(p.podinfo, monitorapi.PodinfoAnnotations, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// write is what the agent does.
func (p *pod) write(t *testing.T, n int) {
	t.Helper()

	for _, name := range []string{"a", "b"} {
		put(t, p.Place, name, strconv.Itoa(n))
	}
}

// kill is kill -9, whatever the monitor does.
func (p *pod) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()

	_ = p.process.Kill() // It may have ended.
}

// start starts the program. Its log is read by whoever has it, to the end.
func (p *pod) start(ctx context.Context, t *testing.T, args ...string) (*exec.Cmd, io.Reader) {
	t.Helper()

	cmd := exec.CommandContext(ctx, p.program, append(args, "--podinfo-dir="+p.podinfo, "--state-volume="+p.Volume, "--checkpoint-dir="+p.Dir)...)

	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	p.process = cmd.Process

	return cmd, log
}

// killed says whether a program that has ended was; that it ended in any other way than well is an error.
func killed(t *testing.T, err error, log string) bool {
	t.Helper()

	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signal() == syscall.SIGKILL {
			return true
		}
	}

	if err != nil {
		t.Fatalf("the monitor ended: %v\n%s", err, log)
	}

	return false
}

// restore runs the init container, and says whether it came to its end.
func (p *pod) restore(t *testing.T) bool {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	cmd, r := p.start(ctx, t, "restore")

	log, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}

	return !killed(t, cmd.Wait(), string(log))
}

// A life is a monitor that runs.
type life struct {
	*pod

	status string
	cmd    *exec.Cmd
	log    bytes.Buffer
	ended  chan struct{}
}

// run runs the sidecar. It has ended, or was killed, once ended is closed.
func (p *pod) run(t *testing.T) *life {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	l := &life{pod: p, ended: make(chan struct{})}

	var r io.Reader

	l.cmd, r = p.start(ctx, t, "run", "--listen=127.0.0.1:0", "--metering=off", "--drain-grace=0s", "--checkpoint-interval=1h")
	lines := bufio.NewScanner(r)

	for l.status == "" && lines.Scan() {
		l.log.Write(append(lines.Bytes(), '\n'))

		var said struct{ Listen string }
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Listen != "" {
			l.status = "http://" + said.Listen + monitorapi.PathStatus
		}
	}

	go func() {
		defer close(l.ended)

		for lines.Scan() {
			l.log.Write(append(lines.Bytes(), '\n'))
		}
	}()

	t.Cleanup(func() {
		cancel()
		<-l.ended
		_ = l.cmd.Wait() // Mostly it has been waited for.
	})

	return l
}

// drained drains the worker, and says whether it was told that the state is saved, before the monitor was killed.
func (l *life) drained(t *testing.T, drain string) bool {
	t.Helper()
	l.annotate(t, drain)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		select {
		case <-l.ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}

		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.status, nil)
		if err != nil {
			t.Fatal(err)
		}

		res, err := client.Do(req)
		if err != nil {
			continue // It is being killed, and has ended the next time.
		}

		var s monitorapi.Status

		err = json.NewDecoder(res.Body).Decode(&s)
		_ = res.Body.Close()

		if err == nil && s.State == monitorapi.StateDrained && s.DrainID == drain && s.Checkpoint.Drain == drain {
			return true
		}
	}

	l.kill()
	<-l.ended
	t.Fatalf("the drain does not end\n%s", l.log.String())

	return false
}

// end has the last save made, and says whether the monitor came to its end.
func (l *life) end(t *testing.T) bool {
	t.Helper()

	_ = l.cmd.Process.Signal(syscall.SIGTERM) // It may have been killed.

	<-l.ended

	return !killed(t, l.cmd.Wait(), l.log.String())
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
