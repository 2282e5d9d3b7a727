//go:build bench

package bench

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// proxyCore is the core the proxies run on. The test itself is pinned to another one.
	proxyCore = "1"

	smallRequests, smallClients = 30000, 32
	streams, eventsPerStream    = 20, 300
	eventPause                  = 20 * time.Millisecond
	manyStreams                 = 1000
	starts                      = 20
)

const chatRequest = `{"model":"gpt-4","messages":[{"role":"user","content":"` +
	`Write a function that adds two numbers, and say in a sentence what it does and what it does not."}]}`

// chatAnswer is about a kilobyte, with its usage.
var chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4","choices":[{"index":0,"message":{"role":"assistant","content":"` +
	strings.Repeat("It adds two numbers. ", 35) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":25,"completion_tokens":140,"total_tokens":165}}`

// upstream is a model server that costs as little as it can. A stream's events carry the time at which they were sent.
func upstream(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/chat/completions":
		body, _ := io.ReadAll(r.Body) // What is missing is seen.
		if !strings.Contains(string(body), `"stream":true`) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, chatAnswer)

			return
		}
	default:
		http.NotFound(rw, r)

		return
	}

	rw.Header().Set("Content-Type", "text/event-stream")

	n, _ := strconv.Atoi(r.Header.Get("X-Events"))
	flush := http.NewResponseController(rw)

	for range n {
		fmt.Fprintf(rw, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4","choices":[{"index":0,"delta":{"content":"%d"},"finish_reason":null}]}`+"\n\n", time.Now().UnixNano())
		_ = flush.Flush()

		select {
		case <-r.Context().Done():
			return
		case <-time.After(eventPause):
		}
	}

	if r.Header.Get("X-Hold") != "" {
		<-r.Context().Done()

		return
	}

	fmt.Fprint(rw, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4","choices":[],"usage":{"prompt_tokens":25,"completion_tokens":300,"total_tokens":325}}`+"\n\ndata: [DONE]\n\n")
}

// A proxy under test.
type proxy struct {
	name, url string
	pid       int
	// trust is what its clients must trust; nil where it speaks plain HTTP.
	trust *tls.Config
}

func free(t *testing.T) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()

	return lis.Addr().String()
}

// launch starts a program on the proxies' core and waits until it listens. It returns its process and how long that took.
func launch(t *testing.T, address string, env []string, args ...string) (*exec.Cmd, time.Duration) {
	t.Helper()

	cmd := exec.Command("taskset", append([]string{"-c", proxyCore}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	began := time.Now()

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	for time.Since(began) < 20*time.Second {
		if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address); err == nil {
			_ = c.Close()

			return cmd, time.Since(began)
		}

		time.Sleep(200 * time.Microsecond)
	}

	t.Fatalf("%s does not listen on %s", args[0], address)

	return nil, 0
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func launchNginx(t *testing.T, model *url.URL) proxy {
	t.Helper()

	dir, address := t.TempDir(), free(t)
	conf := fmt.Sprintf(`worker_processes 1; daemon off; master_process off; error_log stderr error; pid %[1]s/pid;
events { worker_connections 8192; }
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 10000000;
  upstream model { server %[2]s; keepalive 64; keepalive_requests 10000000; }
  server { listen %[3]s; location / { proxy_pass %[4]s://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }`,
		dir, model.Host, address, model.Scheme)

	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}

	cmd, _ := launch(t, address, nil, "nginx", "-c", file)
	t.Cleanup(func() { end(cmd) })

	return proxy{name: "nginx", url: "http://" + address, pid: cmd.Process.Pid}
}

// launchMonitor starts a monitor that trusts the certificates of a file.
func launchMonitor(t *testing.T, model *url.URL, trusted string) (proxy, *exec.Cmd, time.Duration) {
	t.Helper()

	status, address := free(t), free(t)
	cmd, took := launch(t, address, []string{
		"MONITOR_LISTEN=" + status, "MONITOR_PROXY_LISTEN=" + address, "MONITOR_PODINFO_DIR=" + t.TempDir(), "MONITOR_MODEL_ENDPOINT=" + model.String(), "SSL_CERT_FILE=" + trusted,
		"MONITOR_NAMESPACE=team-a", "MONITOR_DISPATCHER=pool", "MONITOR_ROLE=coder",
	}, "../../_output/bin/monitor", "run")

	return proxy{name: "monitor", url: "http://" + address, pid: cmd.Process.Pid}, cmd, took
}

// cpu returns the time a process has used.
func (p proxy) cpu(t *testing.T) time.Duration {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		t.Fatal(err)
	}

	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)

	// The kernel tells hundredths of a second.
	return time.Duration(user+system) * 10 * time.Millisecond
}

// rss returns the resident memory of a process, in KiB.
func (p proxy) rss(t *testing.T) int64 {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.SplitSeq(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)

			return n
		}
	}

	t.Fatal("no VmRSS")

	return 0
}

func (p proxy) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 2 * manyStreams, DisableCompression: true, TLSClientConfig: p.trust, ForceAttemptHTTP2: true,
	}}
}

func post(ctx context.Context, t *testing.T, c *http.Client, url, body string, header ...string) *http.Response {
	t.Helper()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}

	rsp, err := c.Do(req)
	if err != nil {
		t.Error(err)

		return nil
	}

	return rsp
}

func met(ok bool) string {
	if ok {
		return "met"
	}

	return "not met"
}

// TestProxy prints the figures of the monitor's model proxy beside those of nginx and of no proxy at all, for a model server at plain
// HTTP and for one at HTTPS, which the monitor asks by HTTP/2 and nginx by HTTP/1.1.
func TestProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) { compareProxies(t, scheme) })
	}
}

func compareProxies(t *testing.T, scheme string) {
	t.Helper()

	srv := httptest.NewUnstartedServer(http.HandlerFunc(upstream))
	trusted := filepath.Join(t.TempDir(), "ca.pem")

	if scheme == "https" {
		srv.EnableHTTP2 = true
		srv.StartTLS()

		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
		if err := os.WriteFile(trusted, ca, 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		srv.Start()
	}
	defer srv.Close()

	model, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}

	monitor, cmd, _ := launchMonitor(t, model, trusted)
	defer end(cmd)

	nginx := launchNginx(t, model)
	direct := proxy{name: "direct", url: srv.URL, trust: srv.Client().Transport.(*http.Transport).TLSClientConfig}

	f := map[string]*figures{}
	order := []proxy{direct, nginx, monitor}

	for _, p := range order {
		f[p.name] = &figures{}
		small(t, p) // To warm up.
	}

	// Each is first, second and last once.
	for range order {
		for _, p := range order {
			f[p.name].take(t, p)
		}

		order = append(order[1:], order[0])
	}

	fmt.Printf("\nModel server at %s:\n\n", scheme)
	fmt.Println("| | direct | nginx | monitor | |\n| --- | --- | --- | --- | --- |")

	var wall, cores, latency [3]string

	for i, p := range []proxy{direct, nginx, monitor} {
		wall[i], latency[i], cores[i] = both(f[p.name].small), both(f[p.name].events), "-"
		if p.pid != 0 {
			cores[i] = fmt.Sprintf("%.0f", f[p.name].perSecond())
		}
	}

	perStream := map[string]float64{"nginx": memory(t, nginx), "monitor": memory(t, monitor)}
	ratio := f["monitor"].perSecond() / f["nginx"].perSecond()
	added := percentile(f["monitor"].events, 50) - percentile(f["direct"].events, 50)

	row := func(what string, v [3]string, says string) {
		fmt.Printf("| %s | %s | %s | %s | %s |\n", what, v[0], v[1], v[2], says)
	}
	row("small answers: requests per second of the proxy's CPU", cores, fmt.Sprintf("%.2f of nginx; goal 0.8: %s", ratio, met(ratio >= 0.8)))
	row("the same: p50, p99 with 32 clients", wall, "")
	row("an event of a stream on its way: p50, p99", latency, fmt.Sprintf("%s added at p50; goal under 200 us: %s", added.Round(time.Microsecond), met(added < 200*time.Microsecond)))
	row("memory for an open stream, of 1,000", [3]string{"-", fmt.Sprintf("%.1f KiB", perStream["nginx"]), fmt.Sprintf("%.1f KiB", perStream["monitor"])},
		"goal under 64 KiB: "+met(perStream["monitor"] < 64))

	if scheme == "http" {
		beginnings(t, model, row)
	}
}

// beginnings prints what a monitor takes that has just begun.
func beginnings(t *testing.T, model *url.URL, row func(what string, v [3]string, says string)) {
	t.Helper()

	took := make([]time.Duration, 0, starts)

	var rest int64

	for range starts {
		p, cmd, d := launchMonitor(t, model, "")
		time.Sleep(300 * time.Millisecond)

		rest = p.rss(t)
		took = append(took, d)

		end(cmd)
	}

	row("resident at rest", [3]string{"-", "-", fmt.Sprintf("%.1f MiB", float64(rest)/1024)}, "goal under 20 MiB: "+met(rest < 20<<10))
	row("from exec until it listens, median of 20", [3]string{"-", "-", percentile(took, 50).Round(10 * time.Microsecond).String()},
		"goal under 20 ms: "+met(percentile(took, 50) < 20*time.Millisecond))
}
