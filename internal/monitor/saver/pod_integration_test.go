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
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

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
