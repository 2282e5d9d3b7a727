//go:build integration

package monitor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const clientsKey = "the-platforms-key"

// clientLibraries returns where the client libraries are installed.
func clientLibraries(t *testing.T) string {
	t.Helper()

	cache := os.Getenv("AIDISPATCHER_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}

		cache = filepath.Join(dir, "aidispatcher")
	}

	dir := filepath.Join(cache, "npm", "clients", "node_modules")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the client libraries are not installed (%v): run make integration", err)
	}

	return dir
}

// modelProgram builds the model server, and returns where it is.
func modelProgram(t *testing.T) string {
	t.Helper()

	program := filepath.Join(t.TempDir(), "model")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cluster/model").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the model server: %v: %s", err, out)
	}

	return program
}

// modelServer starts the model server that takes no key but the platform's, and returns its URL.
func modelServer(t *testing.T, program string) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	address := lis.Addr().String()
	_ = lis.Close()

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "MODEL_LISTEN="+address)

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		cancel()

		_ = cmd.Wait() // It was killed.
	})

	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()

			return "http://" + address
		}

		if time.Now().After(deadline) {
			t.Fatalf("the model server does not listen: %v", err)
		}
	}
}

// clientCalls runs the clients against a base URL and returns what each call got, by name. The time at which a server answered
// is all that may differ between two runs.
func clientCalls(t *testing.T, base string) map[string]string {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	var stderr bytes.Buffer

	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "clients.mjs"), base, clientLibraries(t))
	cmd.Stderr = &stderr

	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("the clients (node 20 is needed): %v: %s", err, stderr.String())
	}

	out := map[string]string{}
	times := regexp.MustCompile(`(\\?"created(_at)?\\?":)\d+`)

	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		var call struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatalf("the clients said %s: %v", line, err)
		}

		out[call.Name] = times.ReplaceAllString(line, "${1}0")
	}

	return out
}

// What client libraries get through the proxy is byte for byte what they get without it, and what is counted is what the
// model server says that it billed.
func TestClients(t *testing.T) {
	program := modelProgram(t)
	direct := clientCalls(t, modelServer(t, program))

	// Through the proxy the server wants the platform's key, which the clients do not have.
	t.Setenv("MODEL_API_KEY", clientsKey)

	// The protocol is how the key is sent: a gateway speaks all APIs, and takes it in one way.
	for _, protocol := range []string{ProtocolOpenAI, ProtocolAnthropic} {
		t.Run(protocol, func(t *testing.T) { clientsThrough(t, program, protocol, direct) })
	}
}

func clientsThrough(t *testing.T, program, protocol string, direct map[string]string) {
	t.Helper()

	upstream := modelServer(t, program)
	key := filepath.Join(t.TempDir(), "key")

	if err := os.WriteFile(key, []byte(clientsKey), 0o600); err != nil {
		t.Fatal(err)
	}

	lines := make(logged, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() {
		ended <- Run(ctx, Config{
			Listen: "127.0.0.1:0", ProxyListen: "127.0.0.1:0", PodinfoDir: t.TempDir(), AskForUsage: true,
			ModelEndpoint: upstream, ModelProtocol: protocol, ModelKeyFile: key,
		}, slog.New(slog.NewJSONHandler(lines, nil)))
	}()

	at := regexp.MustCompile(`"listen":"([^"]+)","proxy":"([^"]+)"`).FindStringSubmatch(lines.wait(t, "the monitor runs"))
	through := clientCalls(t, "http://"+at[2])

	if len(direct) != 26 {
		t.Errorf("only %d calls were made", len(direct))
	}

	// What was asked for with a tool was answered by a call of it.
	for name, got := range direct {
		called := strings.Contains(got, "tool_calls") || strings.Contains(got, "function_call") || strings.Contains(got, "tool_use")
		if want := strings.Contains(name, "Tool") && name != "chatToolTold"; called != want {
			t.Errorf("%s: a tool is called: %t, want %t: %s", name, called, want, got)
		}
	}

	// A server that was asked for the usage says in every other chunk that it is not there yet.
	notYet := regexp.MustCompile(`,\\?"usage\\?":null`)

	for name, want := range direct {
		got := through[name]
		if slices.Contains([]string{"chatStream", "chatStreamTwice", "completionStream", "chatToolStream", "chatToolHelper", "chatToolTold"}, name) {
			got = notYet.ReplaceAllString(got, "")
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -without the proxy, +through it:\n%s", name, diff)
		}
	}

	compareBills(t, "http://"+at[1], upstream)
	cancel()

	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// compareBills compares what a monitor counted with what a model server billed.
func compareBills(t *testing.T, monitor, upstream string) {
	t.Helper()

	get := func(url string, into any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}

		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		defer func() { _ = rsp.Body.Close() }()

		if err := json.NewDecoder(rsp.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}

	var billed struct {
		Models map[string]struct{ Requests, Input, Output, Cached, Reasoning int64 }
	}

	get(upstream+"/billing", &billed)

	var want monitorapi.Tokens

	requests := int64(0)
	for _, m := range billed.Models {
		requests += m.Requests
		want.Input += m.Input
		want.Output += m.Output
		want.Cached += m.Cached
		want.Reasoning += m.Reasoning
	}

	// What was asked of the server beside that: its models, a count of tokens, what it refused, and the stream that nobody
	// waited for, whose usage never came.
	want.Requests, want.Missing = requests+4, 1

	if requests != 22 || want.Cached == 0 || want.Reasoning == 0 {
		t.Errorf("the server billed %d requests: %+v", requests, want)
	}

	var s monitorapi.Status

	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && (s.Tokens == nil || s.Tokens.Missing == 0); time.Sleep(10 * time.Millisecond) {
		s = monitorapi.Status{}
		get(monitor+monitorapi.PathStatus, &s)
	}

	if diff := cmp.Diff(&want, s.Tokens); diff != "" {
		t.Errorf("what was counted: -billed, +counted:\n%s", diff)
	}
}

// A WebSocket library's client and server talk through the proxy as they do without it: messages of each kind and of any length,
// compressed or not, pings, and the code with which one of them ends it. Nobody measures what is said.
func TestWebSockets(t *testing.T) {
	script := []string{filepath.Join("testdata", "websockets.mjs"), clientLibraries(t)}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	server := exec.CommandContext(ctx, "node", append(script, "serve")...)

	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := server.Start(); err != nil {
		t.Fatal(err)
	}

	defer func() {
		cancel()

		_ = server.Wait() // It was killed.
	}()

	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not say where it is: %v", err)
	}

	base := "http://127.0.0.1:" + strings.TrimSpace(port)
	talk := func(base string) string {
		t.Helper()

		b, err := exec.CommandContext(ctx, "node", append(script, "talk", strings.Replace(base, "http://", "ws://", 1))...).CombinedOutput()
		if err != nil {
			t.Fatalf("the client (node 20 is needed): %v: %s", err, b)
		}

		return string(b)
	}

	m := startMetered(t, base)
	direct := talk(base)

	if diff := cmp.Diff(direct, talk(m.url)); diff != "" || strings.Count(direct, "\n") != 12 {
		t.Errorf("-without the proxy, +through it:\n%s\n%s", diff, direct)
	}

	want := outcomeOf("unmetered")
	for k := range want {
		want[k] *= 2 // One connection with compression, and one without.
	}

	if diff := cmp.Diff(want, m.counted(t)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
