//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A provider that runs.
type process struct {
	cmd     *exec.Cmd
	log     *bytes.Buffer
	metrics string
	health  string
}

func (s *suite) start(t *testing.T, args ...string) *process {
	t.Helper()

	p := &process{log: &bytes.Buffer{}, metrics: freeAddress(t), health: freeAddress(t)}
	p.cmd = exec.CommandContext(context.Background(), s.binary, append([]string{
		"--metrics-bind-address=" + p.metrics, "--health-probe-bind-address=" + p.health,
	}, args...)...)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log

	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() // It may have ended.
			p.cmd.Wait()         // It was killed.
		}

		if t.Failed() {
			t.Logf("the provider's log:\n%s", p.log)
		}
	})

	return p
}

func (p *process) isReady(t *testing.T) {
	t.Helper()
	within(t, 10*time.Second, func() string {
		if got := p.answers(t, "http://"+p.health+"/readyz"); !strings.HasPrefix(got, "200") {
			return "the provider is not ready: " + got
		}

		return ""
	})
}

// stop asks the provider to end, as a kubelet does.
func (p *process) stop(t *testing.T) {
	t.Helper()

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the provider was asked to end and did so with an error: %v", err)
	}
}

// kill ends the provider as a lost node does.
func (p *process) kill(t *testing.T) {
	t.Helper()

	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	p.cmd.Wait() // It was killed.
}

// residentKiB returns the memory of the process that is resident, of the kind that a line of its status has.
func (p *process) residentKiB(t *testing.T, kind string) int {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, kind); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}

			return n
		}
	}

	t.Fatal("the kernel does not say how much memory is resident")

	return 0
}

func (p *process) answers(t *testing.T, url string) string {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}

	defer res.Body.Close() // It was read.

	b := &bytes.Buffer{}
	if _, err := b.ReadFrom(res.Body); err != nil {
		return err.Error()
	}

	return res.Status + "\n" + b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	defer l.Close() // Its address is what we wanted.

	return l.Addr().String()
}

// within waits until what returns "", and fails with its last answer after d.
func within(t *testing.T, d time.Duration, what func() string) {
	t.Helper()

	deadline := time.Now().Add(d)

	for {
		last := what()
		if last == "" {
			return
		}

		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", d, last)
		}

		<-time.After(20 * time.Millisecond)
	}
}
