//go:build integration

package examples_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A process is a program that runs, and what it says.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu  sync.Mutex
	log []string
}

// start starts a program, which is killed at the test's end if it has not ended.
func start(t *testing.T, base, env []string, command ...string) *process {
	t.Helper()

	if base == nil {
		base = os.Environ()
	}

	p := &process{cmd: exec.CommandContext(context.Background(), command[0], command[1:]...), done: make(chan struct{})}
	p.cmd.Env = slices.Concat(base, env)

	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w

	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", command[0], err)
	}

	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			p.mu.Lock()
			p.log = append(p.log, lines.Text())
			p.mu.Unlock()
		}

		_, _ = io.Copy(io.Discard, r) // A line that is too long must not hold the program up.
	}()

	go func() {
		p.err = p.cmd.Wait()
		_ = w.Close()

		close(p.done)
	}()

	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // Mostly it has ended.

		<-p.done
	})

	return p
}

// ended waits until a program has ended, and returns how.
func (p *process) ended(t *testing.T, patience time.Duration) error {
	t.Helper()

	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%w: %s", p.err, p.said())
		}

		return nil
	case <-time.After(patience):
		return errors.New("it does not end: " + p.said())
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return strings.Join(p.log[max(0, len(p.log)-30):], "\n")
}

// ask asks for something as clients of A2A, JSON and all else do, and returns what was answered; code 0 where nothing was.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()

	return askIn(t.Context(), t, method, url, body)
}

// askIn does so for as long as a context goes.
func askIn(ctx context.Context, t *testing.T, method, url, body string) (int, string) {
	t.Helper()

	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("A2A-Version", "1.0")

	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		return 0, err.Error()
	}

	return rsp.StatusCode, string(b)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	eventuallyOr(t, what, is, func() string { return "" })
}

func eventuallyOr(t *testing.T, what string, is func() bool, why func() string) {
	t.Helper()

	for deadline := time.Now().Add(90 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to that: %s: %s", what, why())
		}
	}
}

// free returns an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()

	return lis.Addr().String()
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }

func write(t *testing.T, file, text string) {
	t.Helper()

	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// cache is where what is built and installed for tests is.
func cache(t *testing.T) string {
	t.Helper()

	if dir := os.Getenv("AIDISPATCHER_CACHE"); dir != "" {
		return dir
	}

	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}

	return filepath.Join(dir, "aidispatcher")
}
