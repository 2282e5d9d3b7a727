//go:build integration

package examples_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A queue is one in a Redis that the test started.
type queue struct{ url, client string }

func newQueue(t *testing.T) *queue {
	t.Helper()

	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("Redis is not installed (%v): apt-get install redis-server", err)
	}

	address := free(t)
	start(t, nil, nil, program, "--bind", "127.0.0.1", "--port", port(address), "--save", "", "--appendonly", "no", "--dir", t.TempDir())

	// The client is beside its libraries, as an agent is.
	app := t.TempDir()
	if err := os.CopyFS(app, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}

	if err := os.Symlink(filepath.Join(cache(t), "npm", "agents", "node_modules"), filepath.Join(app, "node_modules")); err != nil {
		t.Fatal(err)
	}

	return &queue{url: "redis://" + address, client: filepath.Join(app, "jobs.mjs")}
}

// jobs runs a client, and returns how many jobs are in which state.
func (q *queue) jobs(t *testing.T, do ...string) map[string]int {
	t.Helper()

	out, err := exec.CommandContext(t.Context(), "node", append([]string{q.client, q.url, "reviews"}, do...)...).CombinedOutput()
	counts := map[string]int{}

	if err == nil {
		err = json.Unmarshal(out, &counts)
	}

	if err != nil {
		t.Fatalf("the queue's client: %v: %s", err, out)
	}

	return counts
}

// Workers on one queue tell together how much there is to do; one that drains ends its job and takes no other, and takes jobs again
// when the drain is withdrawn; and the job of one that is killed is done by another.
func TestQueue(t *testing.T) {
	q, p := newQueue(t), newPool(t, "queue")
	p.secrets = map[string]string{"redis/url": q.url}
	// What is stalled is looked for each second, and not twice a minute.
	p.env = []string{"STALLED_MS=1000"}

	one, two := p.worker(t, 0), p.worker(t, 1)
	one.becomes(t, monitorapi.StateActive, load{})
	two.becomes(t, monitorapi.StateActive, load{})

	p.model.close()
	q.jobs(t, "add", "6")

	// Two are worked on, and of the four that wait each tells two.
	one.becomes(t, monitorapi.StateActive, load{3, 1})
	two.becomes(t, monitorapi.StateActive, load{3, 1})

	one.annotate(t, "d1")
	one.becomes(t, monitorapi.StateDraining, load{3, 1})
	eventually(t, "the one that drains takes no other job", func() bool {
		_, body := ask(t, http.MethodGet, one.url(9100)+"/metrics", "")

		return strings.Contains(body, "jobs_taken 0")
	})
	p.model.open()

	drained := one.becomes(t, monitorapi.StateDrained, load{})
	rest := two.becomes(t, monitorapi.StateActive, load{})

	if drained.Tokens.Requests != 1 || rest.Tokens.Requests != 5 {
		t.Errorf("the one that drains did %d jobs and the other %d, of 6", drained.Tokens.Requests, rest.Tokens.Requests)
	}

	two.end(t)
	p.model.close()
	one.annotate(t, "")
	q.jobs(t, "add", "1")
	one.becomes(t, monitorapi.StateActive, load{1, 1})

	if err := one.agent.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	three := p.worker(t, 2)
	three.becomes(t, monitorapi.StateActive, load{1, 1})
	p.model.open()
	three.becomes(t, monitorapi.StateActive, load{})

	if got := q.jobs(t, "counts"); got["completed"] != 7 || got["failed"] != 0 {
		t.Errorf("of 7 jobs became %+v", got)
	}

	if code, _ := ask(t, http.MethodPost, three.url(9100)+"/drain", `{"drain":false}`); code != http.StatusNoContent {
		t.Errorf("the hook answers %d", code)
	}

	three.end(t)
}
