// Package storetest runs real object stores on this machine for tests, each as a process that ends with its test, and makes
// them fail. It must not know what is kept in them. The programs come from the cache, where `make integration` puts them.
package storetest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	// startup is how long a server may take until it is ready, on a machine that does other things as well.
	startup = 90 * time.Second
	// pollEvery is how often it is asked.
	pollEvery = 50 * time.Millisecond
	// shownLog is how many bytes of the end of a server's log are shown when its test failed.
	shownLog = 8 << 10
)

// inCache returns the path of a program in the cache, and fails the test if there is none.
func inCache(t testing.TB, path ...string) string {
	t.Helper()
	cache := os.Getenv("AIDISPATCHER_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir() // XDG_CACHE_HOME, or ~/.cache.
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(dir, "aidispatcher")
	}
	p := filepath.Join(append([]string{cache}, path...)...)
	if _, err := os.Stat(p); err != nil { //nolint:gosec // Who runs the test says where the cache is.
		t.Fatalf("cannot find the server: run `make integration`, which builds it: %v", err)
	}
	return p
}

// start runs a server in a process group of its own, and returns once it accepts connections at an address. With the test the
// whole group is killed and waited for, and what it said is shown if the test failed.
func start(t testing.TB, address string, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start the server: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() //nolint:errcheck // It was killed, or its end is what await tells of.
	}()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // It may have ended.
		<-ended
		if t.Failed() {
			t.Logf("the log of %s:\n%s", filepath.Base(cmd.Path), tail(log))
		}
		log.Close() //nolint:errcheck // It was read.
	})
	await(t, address, ended)
}

func await(t testing.TB, address string, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startup)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			c.Close() //nolint:errcheck // Nothing was said.
			return
		}
		select {
		case <-ended:
			t.Fatalf("the server ended before it was ready: %v", err)
		case <-ctx.Done():
			t.Fatalf("the server is not ready: %v", err)
		case <-time.After(pollEvery):
		}
	}
}

func tail(log *os.File) string {
	end, err := log.Seek(0, 2)
	if err != nil {
		return err.Error()
	}
	b := make([]byte, min(end, shownLog))
	if _, err := log.ReadAt(b, end-int64(len(b))); err != nil {
		return err.Error()
	}
	return string(b)
}

// freePort returns a port of the loopback interface that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                                   // Its port is what we wanted.
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // We asked for TCP.
}
