package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A program is one of the real ones, running.
type program struct {
	cmd *exec.Cmd
	// logged is the first line of the log that says where it listens.
	logged struct{ Listen, Proxy string }
}

// startProgram runs a program and waits until it says where it listens.
func startProgram(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)

	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	p := &program{cmd: cmd}

	t.Cleanup(func() { p.end(syscall.SIGKILL) })

	for sc := bufio.NewScanner(stderr); sc.Scan(); {
		if err := json.Unmarshal(sc.Bytes(), &p.logged); err == nil && p.logged.Listen != "" {
			go func() {
				for sc.Scan() {
				}
			}()

			return p
		}
	}

	t.Fatalf("%s did not start", name)

	return nil
}

func (p *program) end(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig)
	_ = p.cmd.Wait()
}

// A worker's three programs, as images ship them: a task goes from the agent through its monitor, which alone has the key,
// to the model, and the agent that comes after knows what was said.
func TestThroughTheMonitor(t *testing.T) {
	dir, podinfo, state := t.TempDir(), t.TempDir(), t.TempDir()
	key := filepath.Join(dir, "key")

	for file, content := range map[string]string{key: "the-key\n", filepath.Join(podinfo, monitorapi.PodinfoAnnotations): monitorapi.AnnotationSlot + "=\"0\"\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, ".", "../../cmd/monitor", "../../cluster/model")
	// As images are built, also where the test itself is not.
	build.Env = append(os.Environ(), "CGO_ENABLED=0")

	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}

	server := startProgram(t, []string{"MODEL_LISTEN=127.0.0.1:0", "MODEL_API_KEY=the-key"}, filepath.Join(dir, "model"))
	monitor := startProgram(t, []string{monitorapi.EnvModelEndpoint + "=http://" + server.logged.Listen + "/v1"},
		filepath.Join(dir, "monitor"), "run", "--listen=127.0.0.1:0", "--proxy-listen=127.0.0.1:0", "--podinfo-dir="+podinfo, "--model-key-file="+key)

	start := func() (*agent, *program) {
		p := startProgram(t, []string{
			"AGENT_LISTEN=127.0.0.1:0", "OPENAI_BASE_URL=http://" + monitor.logged.Proxy, "OPENAI_API_KEY=set-by-the-monitor", "STATE_DIR=" + state,
		}, filepath.Join(dir, "agent"))

		return clientOf(p), p
	}

	a, p := start()
	if got, code := a.tell(t, "s", "hello", false); code != http.StatusOK || !strings.HasSuffix(said(got), "You said in turn 1: hello") {
		t.Errorf("answered %d %+v", code, got)
	}

	// Killed in the middle of a task.
	running, _ := a.tell(t, "s", "again [delay 300ms]", true)
	a.eventually(t, running.ID, stateWorking)
	p.end(syscall.SIGKILL)

	a, p = start()
	if got := a.eventually(t, running.ID, stateCompleted); !strings.Contains(said(got), "You said in turn 2: again") {
		t.Errorf("answered after a crash: %+v", got)
	}

	// Told to end in the middle of one.
	waited := make(chan task, 1)

	go func() {
		got, _ := a.tell(t, "s", "more [delay 300ms]", false)
		waited <- got
	}()

	for {
		var list page
		if a.call(t, http.MethodGet, "/tasks?status="+stateWorking, "", &list); *list.TotalSize > 0 {
			break
		}

		time.Sleep(time.Millisecond)
	}

	p.end(syscall.SIGTERM)

	if got := <-waited; !strings.Contains(said(got), "You said in turn 3: more") || p.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("answered while it ended: %+v; it ended with %v", got, p.cmd.ProcessState)
	}
}
