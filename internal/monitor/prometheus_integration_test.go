//go:build integration

package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitor/push"
	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A promServer is a real Prometheus that scrapes a page and takes remote write.
type promServer struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
	ended   chan error
}

// newPrometheus returns a Prometheus that does not run yet, but whose address is known.
func newPrometheus(t *testing.T) *promServer {
	t.Helper()

	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("this test needs Prometheus: apt-get install prometheus")
	}

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	s := &promServer{t: t, dir: t.TempDir(), address: lis.Addr().String()}
	_ = lis.Close()

	t.Cleanup(func() { s.stop(syscall.SIGKILL) })

	return s
}

// scrape has it scrape a target each second once it starts.
func (s *promServer) scrape(target string) {
	s.t.Helper()

	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: scraped, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *promServer) start() {
	s.t.Helper()

	s.cmd = exec.Command("prometheus", "--config.file="+filepath.Join(s.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(s.dir, "data"),
		"--web.listen-address="+s.address, "--web.enable-remote-write-receiver", "--log.level=error")
	s.cmd.Stderr = os.Stderr

	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}

	s.ended = make(chan error, 1)
	cmd, ended := s.cmd, s.ended

	go func() { ended <- cmd.Wait() }()

	s.until("Prometheus is ready", func() error {
		_, err := s.get("/-/ready")

		return err
	})
}

func (s *promServer) stop(how syscall.Signal) {
	if s.cmd == nil {
		return
	}

	_ = s.cmd.Process.Signal(how)
	<-s.ended
	s.cmd = nil
}

func (s *promServer) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return nil, err
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}

	defer func() { _ = rsp.Body.Close() }()

	b, err := io.ReadAll(rsp.Body)
	if err == nil && rsp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, rsp.StatusCode, b)
	}

	return b, err
}

// value returns what a query has, which must be one number.
func (s *promServer) value(query string) (float64, error) {
	b, err := s.get("/api/v1/query?" + url.Values{"query": {query}}.Encode())
	if err != nil {
		return 0, err
	}

	var out struct {
		Data struct{ Result []struct{ Value [2]any } }
	}

	if err := json.Unmarshal(b, &out); err != nil || len(out.Data.Result) != 1 {
		return 0, fmt.Errorf("%s has not one value: %s: %w", query, b, err)
	}

	text, _ := out.Data.Result[0].Value[1].(string)

	return strconv.ParseFloat(text, 64)
}

// becomes waits until a query has a value.
func (s *promServer) becomes(query string, want float64) {
	s.t.Helper()
	s.until(fmt.Sprintf("%s is %v", query, want), func() error {
		got, err := s.value(query)
		if err == nil && got != want {
			err = fmt.Errorf("it is %v", got)
		}

		return err
	})
}

func (s *promServer) until(what string, check func() error) {
	s.t.Helper()

	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}

		if time.Now().After(deadline) {
			s.t.Fatalf("waited a minute for: %s: %v", what, err)
		}
	}
}

// A real Prometheus has the same numbers of what it scrapes of a monitor and of what that pushes to it, and they are those that
// the model server billed and the agent told. Neither a restart nor a crash of Prometheus loses an increase, and what a worker
// told ends with the worker.
func TestPrometheus(t *testing.T) {
	model := modelServer(t, modelProgram(t))

	var depth atomic.Int64

	agent := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"unfinished": %d}`, depth.Load())
	}))
	defer agent.Close()

	s := newPrometheus(t)
	lines := make(logged, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() {
		ended <- Run(ctx, Config{
			Identity: monitorapi.Status{Namespace: "team-a", Dispatcher: "pool", Role: "coder", Pod: "pool-1"},
			Listen:   "127.0.0.1:0", ProxyListen: "127.0.0.1:0", PodinfoDir: t.TempDir(), AskForUsage: true,
			ModelEndpoint: model, ModelProtocol: ProtocolOpenAI,
			Tasks: tasks.Config{Source: monitorapi.SourceHTTP, URL: agent.URL, QueueDepth: "/unfinished"},
			Push:  push.Config{URL: "http://" + s.address + "/api/v1/write"},
		}, slog.New(slog.NewJSONHandler(lines, nil)))
	}()

	at := regexp.MustCompile(`"listen":"([^"]+)","proxy":"([^"]+)"`).FindStringSubmatch(lines.wait(t, "the monitor runs"))

	go func() {
		for range lines {
		}
	}()

	s.scrape(at[1])
	s.start()

	// spend asks the model, as a stream and not, and has the agent tell of that many tasks. It returns what the model server
	// has billed since it began.
	spend := func(name string, n int) float64 {
		t.Helper()

		for _, stream := range []bool{false, true} {
			body := fmt.Sprintf(`{"model": %q, "stream": %t, "messages": [{"role": "user", "content": %q}]}`, name, stream, strings.Repeat("word ", n))

			rsp, err := http.Post("http://"+at[2]+"/v1/chat/completions", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}

			b, err := io.ReadAll(rsp.Body)
			if _ = rsp.Body.Close(); err != nil || rsp.StatusCode != http.StatusOK {
				t.Fatalf("%d %s: %v", rsp.StatusCode, b, err)
			}
		}

		depth.Store(int64(n))

		return billed(t, model)
	}
	const pushed, scraped = `{job="team-a/pool",instance="pool-1",pod="pool-1",namespace="team-a",dispatcher="pool",role="coder"}`, `{job="scraped",namespace="team-a"}`

	same := func(total, now float64) {
		t.Helper()

		for _, of := range []string{pushed, scraped} {
			s.becomes(`sum(`+monitorapi.MetricTokens+of+`)`, total)
			s.becomes(monitorapi.MetricQueueDepth+of, now)
		}

		// Bucket for bucket, with the same bounds.
		buckets := `sum by (le) (` + monitorapi.MetricModelSeconds + `_bucket`
		s.becomes(`count(`+buckets+pushed+`) == `+buckets+scraped+`)) == bool count(`+buckets+scraped+`))`, 1)
	}

	first := spend("mock", 100)
	total := first
	same(total, 100)

	for n, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s.stop(how)

		before := total
		if total = spend("mock", 7); total <= before {
			t.Fatalf("the model server billed nothing for two requests: %v", total)
		}

		total = spend(fmt.Sprint("born-", n), 7)

		time.Sleep(2 * time.Second) // Pushes fail meanwhile.
		s.start()
		same(total, 7)

		// What began meanwhile is told with its beginning, without which nobody sees the increase.
		s.becomes(fmt.Sprintf(`min_over_time(%s{direction="input",model="born-%d",job="team-a/pool"}[5m])`, monitorapi.MetricTokens, n), 0)
	}

	// The increases of both restarts are there, and nothing is counted twice.
	s.becomes(`sum(resets(`+monitorapi.MetricTokens+pushed+`[5m]))`, 0)
	s.becomes(`sum(max_over_time(`+monitorapi.MetricTokens+pushed+`[5m]))`, total)

	cancel()

	if err := <-ended; err != nil {
		t.Error(err)
	}

	close(lines)

	s.until("what the worker told has ended", func() error {
		if v, err := s.value(monitorapi.MetricQueueDepth + pushed); err == nil {
			return fmt.Errorf("its queue depth is still %v", v)
		}

		return nil
	})
}

// billed returns the tokens, of both directions, that a model server has billed.
func billed(t *testing.T, model string) float64 {
	t.Helper()

	rsp, err := http.Get(model + "/billing")
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = rsp.Body.Close() }()

	var bills struct {
		Models map[string]struct{ Input, Output float64 }
	}
	if err := json.NewDecoder(rsp.Body).Decode(&bills); err != nil {
		t.Fatal(err)
	}

	total := 0.0
	for _, m := range bills.Models {
		total += m.Input + m.Output
	}

	return total
}
