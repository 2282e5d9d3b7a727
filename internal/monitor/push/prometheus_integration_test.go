//go:build integration

package push

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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

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

func newPrometheus(t *testing.T, target string) *promServer {
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

	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: scraped, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(filepath.Join(s.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGKILL) })

	return s
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

// A real Prometheus has the same numbers of what it scrapes and what is pushed to it. Neither a restart nor a crash of it
// loses an increase, and what a worker told ends with the worker.
func TestPrometheus(t *testing.T) {
	labels := prometheus.Labels{monitorapi.LabelNamespace: "team-a", monitorapi.LabelDispatcherName: "pool", monitorapi.LabelRoleName: "coder"}
	reg := prometheus.NewRegistry()
	tokens := prometheus.NewCounterVec(prometheus.CounterOpts{Name: monitorapi.MetricTokens, Help: "Tokens.", ConstLabels: labels}, []string{monitorapi.LabelDirection, monitorapi.LabelModel})
	depth := prometheus.NewGauge(prometheus.GaugeOpts{Name: monitorapi.MetricQueueDepth, Help: "Tasks.", ConstLabels: labels})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: monitorapi.MetricModelSeconds, Help: "Seconds.", ConstLabels: labels}, []string{monitorapi.LabelModel})
	reg.MustRegister(tokens, depth, seconds)

	page := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	defer page.Close()

	s := newPrometheus(t, strings.TrimPrefix(page.URL, "http://"))

	p, err := New(Config{
		URL: "http://" + s.address + "/api/v1/write", Labels: Labels(monitorapi.Status{Namespace: "team-a", Dispatcher: "pool", Role: "coder", Pod: "pool-1"}),
	}, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	reg.MustRegister(p)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})

	go func() { defer close(ended); p.Run(ctx) }()

	spend := func(n int) {
		tokens.WithLabelValues(monitorapi.DirectionInput, "gpt-4").Add(float64(n))
		seconds.WithLabelValues("gpt-4").Observe(0.3)
		depth.Set(float64(n))
	}
	const pushed, scraped = `{job="team-a/pool",instance="pool-1",pod="pool-1",namespace="team-a",dispatcher="pool",role="coder"}`, `{job="scraped",namespace="team-a"}`

	same := func(total, now float64) {
		t.Helper()

		for _, of := range []string{pushed, scraped} {
			s.becomes(`sum(`+monitorapi.MetricTokens+of+`)`, total)
			s.becomes(monitorapi.MetricQueueDepth+of, now)
		}

		// Bucket for bucket, with the same bounds.
		s.becomes(`count(sum by (le) (`+monitorapi.MetricModelSeconds+`_bucket`+pushed+`) == sum by (le) (`+monitorapi.MetricModelSeconds+`_bucket`+scraped+`))`,
			float64(len(prometheus.DefBuckets)+1))
	}

	spend(100)
	same(100, 100)

	for n, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s.stop(how)
		spend(7)
		time.Sleep(2 * time.Second) // Pushes fail meanwhile.
		s.start()
		same(float64(100+7*(n+1)), 7)
	}

	// The increases of both restarts are there, and nothing is counted twice.
	s.becomes(`resets(`+monitorapi.MetricTokens+pushed+`[5m])`, 0)
	s.becomes(`max_over_time(`+monitorapi.MetricTokens+pushed+`[5m]) - min_over_time(`+monitorapi.MetricTokens+pushed+`[5m])`, 114)

	cancel()
	<-ended

	s.until("what the worker told has ended", func() error {
		if v, err := s.value(monitorapi.MetricQueueDepth + pushed); err == nil {
			return fmt.Errorf("its queue depth is still %v", v)
		}

		return nil
	})
}
