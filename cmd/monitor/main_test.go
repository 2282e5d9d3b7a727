package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// binary is the real thing, as an image ships it.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "monitor")
	if err != nil {
		panic(err)
	}

	binary = filepath.Join(dir, "monitor")
	build := exec.CommandContext(context.Background(), "go", "build", "-ldflags", "-s -w -X main.version=v-test", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")

	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("cannot build the monitor: %v\n%s", err, out))
	}

	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A podinfo is a downward API volume that changes as the kubelet changes it (pkg/volume/util/atomic_writer.go): a new
// directory, a symbolic link to it renamed over the old one, the old directory removed.
type podinfo struct {
	dir string
	n   int
}

func (p *podinfo) write(t *testing.T, pairs ...string) {
	t.Helper()

	check := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	var content strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&content, "%s=%q\n", pairs[i], pairs[i+1])
	}

	old, _ := os.Readlink(filepath.Join(p.dir, "..data"))
	p.n++
	stamped := fmt.Sprintf("..2026_01_02_03_04_05.%d", p.n)
	check(os.Mkdir(filepath.Join(p.dir, stamped), 0o700))
	check(os.WriteFile(filepath.Join(p.dir, stamped, monitorapi.PodinfoAnnotations), []byte(content.String()), 0o600))
	check(os.Symlink(stamped, filepath.Join(p.dir, "..data_tmp")))
	check(os.Rename(filepath.Join(p.dir, "..data_tmp"), filepath.Join(p.dir, "..data")))

	if old == "" {
		check(os.Symlink("..data/"+monitorapi.PodinfoAnnotations, filepath.Join(p.dir, monitorapi.PodinfoAnnotations)))
	} else {
		check(os.RemoveAll(filepath.Join(p.dir, old)))
	}
}

// A process is a running monitor.
type process struct {
	cmd           *exec.Cmd
	status, proxy string
	log           *bufio.Scanner
}

// start runs a monitor and waits until it says where it listens.
func start(t *testing.T, env ...string) *process {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), binary, "run", "--listen=127.0.0.1:0", "--proxy-listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), env...)

	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	p := &process{cmd: cmd, log: bufio.NewScanner(stderr)}
	for p.log.Scan() {
		var line struct{ Msg, Listen, Proxy string }
		if err := json.Unmarshal(p.log.Bytes(), &line); err != nil {
			t.Fatalf("the monitor logs what is no JSON: %s", p.log.Text())
		}

		if line.Listen != "" {
			p.status, p.proxy = "http://"+line.Listen, "http://"+line.Proxy

			return p
		}
	}

	t.Fatal("the monitor did not start")

	return nil
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, _ := io.ReadAll(rsp.Body)

	return rsp.StatusCode, string(b)
}

// eventually polls until a worker is in a state, and returns its status and the time that took.
func (p *process) eventually(t *testing.T, want monitorapi.State) (monitorapi.Status, time.Duration) {
	t.Helper()

	began := time.Now()

	for {
		_, body := get(t, p.status+monitorapi.PathStatus)

		var s monitorapi.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}

		if s.State == want {
			return s, time.Since(began)
		}

		if time.Since(began) > 10*time.Second {
			t.Fatalf("the worker is not %s: %s", want, body)
		}

		time.Sleep(5 * time.Millisecond)
	}
}

// TestLife follows a worker through its life with the binary that the images ship.
func TestLife(t *testing.T) {
	info := &podinfo{dir: t.TempDir()}
	slot := []string{monitorapi.AnnotationSlot, "2", monitorapi.AnnotationEpoch, "5", monitorapi.AnnotationRestore, monitorapi.RestoreNone}
	info.write(t, slot...)

	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Header.Get("X-Api-Key"), r.URL.Path)
	}))
	defer model.Close()

	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("k"), 0o600); err != nil {
		t.Fatal(err)
	}

	// All by environment, as the function sets it.
	p := start(t, "MONITOR_PODINFO_DIR="+info.dir, "MONITOR_MODEL_KEY_FILE="+key, "MONITOR_DRAIN_GRACE=300ms", "MONITOR_DRAIN_LAPSE=1h",
		monitorapi.EnvNamespace+"=team-a", monitorapi.EnvDispatcher+"=pool", monitorapi.EnvRole+"=coder", monitorapi.EnvPod+"=pool-1",
		monitorapi.EnvModelEndpoint+"="+model.URL, monitorapi.EnvModelProtocol+"=Anthropic")

	s, _ := p.eventually(t, monitorapi.StateActive)
	want := monitorapi.Status{
		Version: 1, Namespace: "team-a", Dispatcher: "pool", Role: "coder", Pod: "pool-1", Slot: "2", Epoch: "5", Restore: monitorapi.RestoreNone,
		State: monitorapi.StateActive, Ready: true, StartedAt: s.StartedAt, Tasks: monitorapi.Tasks{UnknownSince: &s.StartedAt},
		Tokens: &monitorapi.Tokens{},
	}

	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("the status of a new worker: -want, +got:\n%s", diff)
	}

	if code, body := get(t, p.proxy+"/v1/messages"); code != http.StatusOK || body != "k/v1/messages" {
		t.Errorf("through the proxy: %d %s", code, body)
	}

	info.write(t, append(slot, monitorapi.AnnotationDrain, "d1")...)

	_, took := p.eventually(t, monitorapi.StateDraining)
	t.Logf("drain seen %s after the annotation was written", took)

	if code, _ := get(t, p.status+monitorapi.PathReady); code != http.StatusServiceUnavailable {
		t.Errorf("a draining worker is ready: %d", code)
	}

	if s, _ := p.eventually(t, monitorapi.StateDrained); s.DrainID != "d1" {
		t.Errorf("drained for %q, want d1", s.DrainID)
	}

	info.write(t, slot...)
	p.eventually(t, monitorapi.StateActive)

	if code, _ := get(t, p.status+monitorapi.PathReady); code != http.StatusOK {
		t.Errorf("a worker whose drain was withdrawn is not ready: %d", code)
	}

	began := time.Now()
	if code, body := get(t, p.status+monitorapi.PathDrained); code != http.StatusOK || time.Since(began) < 300*time.Millisecond {
		t.Errorf("the hook's answer after %s: %d %s", time.Since(began), code, body)
	}

	p.eventually(t, monitorapi.StateDrained)
	p.end(t)
}

// end tells the monitor to end, and wants it to end well and soon.
func (p *process) end(t *testing.T) {
	t.Helper()

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	// The pipe ends with the process, and must be read to its end before Wait.
	ended := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer ended.Stop()

	for p.log.Scan() {
		if !json.Valid(p.log.Bytes()) {
			t.Errorf("the monitor logs what is no JSON: %s", p.log.Text())
		}
	}

	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the monitor did not end well: %v", err)
	}
}

// An answer that streams when the monitor is told to end is finished first.
func TestEndFinishesAnswers(t *testing.T) {
	told, finish := make(chan struct{}), make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, "half ")
		_ = http.NewResponseController(rw).Flush()
		close(told)
		<-finish
		fmt.Fprint(rw, "whole")
	}))
	defer model.Close()

	p := start(t, "MONITOR_PODINFO_DIR="+t.TempDir(), monitorapi.EnvModelEndpoint+"="+model.URL)

	go func() {
		<-told

		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		// It has stopped listening when it has heard the signal.
		for {
			rsp, err := http.Get(p.status + monitorapi.PathLive)
			if err != nil {
				break
			}

			_ = rsp.Body.Close()
		}

		close(finish)
	}()

	if _, body := get(t, p.proxy); body != "half whole" {
		t.Errorf("read %q", body)
	}

	p.end(t)
}

func TestCommands(t *testing.T) {
	info := &podinfo{dir: t.TempDir()}
	info.write(t, monitorapi.AnnotationSlot, "0", monitorapi.AnnotationRestore, monitorapi.RestoreNone)

	lost := &podinfo{dir: t.TempDir()}
	lost.write(t, monitorapi.AnnotationSlot, "0", monitorapi.AnnotationRestore, "3-7")

	cases := map[string]struct {
		reason string
		args   []string
		env    []string
		code   int
		says   string
	}{
		"Restore": {
			reason: "Without a store a restore says so and succeeds.", args: []string{"restore"},
			env: []string{"MONITOR_PODINFO_DIR=" + info.dir, monitorapi.EnvStateVolume + "=" + t.TempDir()}, says: "no checkpoint store is configured",
		},
		"CannotRestore": {
			reason: "What cannot be restored is not pretended.", args: []string{"restore"}, code: 1,
			env: []string{"MONITOR_PODINFO_DIR=" + lost.dir, monitorapi.EnvStateVolume + "=" + t.TempDir()}, says: "give the pool a checkpoint",
		},
		"Version": {reason: "The build's version is told.", args: []string{"version"}, says: "v-test"},
		"BadModel": {
			reason: "An endpoint that is none is found at the start.", args: []string{"run", "--listen=127.0.0.1:0", "--proxy-listen=127.0.0.1:0"}, code: 1,
			env: []string{monitorapi.EnvModelEndpoint + "=models"}, says: "want a URL",
		},
		"BadListen": {
			reason: "A port that cannot be had ends the monitor.", args: []string{"run", "--listen=127.0.0.1:0", "--proxy-listen=203.0.113.1:1"}, code: 1,
			env: []string{monitorapi.EnvModelEndpoint + "=http://models"}, says: "cannot listen on 203.0.113.1:1",
		},
		"Typo": {reason: "A flag that is none is refused.", args: []string{"run", "--lisen=x"}, code: 80, says: "unknown flag --lisen"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), binary, tc.args...)
			cmd.Env = tc.env

			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != tc.code || !strings.Contains(string(out), tc.says) {
				t.Errorf("\n%s\nmonitor %v: exit %d\n%s\nwant exit %d with %q", tc.reason, tc.args, cmd.ProcessState.ExitCode(), out, tc.code, tc.says)
			}
		})
	}
}

// The goal is under 20 MiB resident at rest with every checkpoint store linked, of which two thirds are pages of the binary that
// all monitors of a node share. Work may add its buffers to that, but does not add up.
func TestFootprint(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}

	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "ok") }))
	defer model.Close()

	began := time.Now()
	p := start(t, "MONITOR_PODINFO_DIR="+t.TempDir(), monitorapi.EnvModelEndpoint+"="+model.URL)
	started := time.Since(began)

	work := func(n, limit int) {
		for range n {
			get(t, p.status+monitorapi.PathMetrics)
			get(t, p.proxy)
		}

		kib := resident(t, p.cmd.Process.Pid)
		t.Logf("%.1f MiB resident after %d scrapes and requests", float64(kib)/1024, n)

		if kib > limit*1024 {
			t.Errorf("%d KiB resident after %d scrapes and requests, want at most %d MiB", kib, n, limit)
		}
	}

	t.Logf("started in %s", started)
	work(1, 20)
	work(500, 24)
}

func resident(t *testing.T, pid int) int {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(b)) {
		if rss, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rss)[0])
			if err != nil {
				t.Fatal(err)
			}

			return kib
		}
	}

	t.Fatal("the kernel does not tell the resident memory")

	return 0
}
