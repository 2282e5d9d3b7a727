//go:build integration

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recordedAt is when the load of the test was recorded: lately, or Prometheus drops it.
var recordedAt = time.Now().UTC().Truncate(time.Hour).Add(-6 * time.Hour)

// prometheus starts a real Prometheus that has recorded a queue, minute by minute.
func prometheus(t *testing.T, samples map[string][]string) string {
	t.Helper()

	for _, program := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatal("this test needs Prometheus: apt-get install prometheus")
		}
	}

	var b strings.Builder

	fmt.Fprintln(&b, "# TYPE agent_queue_depth gauge")

	for labels, values := range samples {
		for i, v := range values {
			if v != "" {
				fmt.Fprintf(&b, "agent_queue_depth{%s} %s %d\n", labels, v, recordedAt.Add(time.Duration(i)*time.Minute).Unix())
			}
		}
	}

	fmt.Fprintln(&b, "# EOF")

	dir := t.TempDir()
	data, text, config := filepath.Join(dir, "data"), filepath.Join(dir, "samples"), filepath.Join(dir, "prometheus.yml")

	for name, content := range map[string]string{text: b.String(), config: "global: {}\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if said, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", text, data).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v: %s", err, said)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	address := l.Addr().String()
	_ = l.Close()

	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address="+address, "--log.level=error", "--query.lookback-delta=59s")
	cmd.Stderr = os.Stderr

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})

	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		rsp, err := http.Get("http://" + address + "/-/ready")
		if err == nil {
			_ = rsp.Body.Close()
		}

		if err == nil && rsp.StatusCode == http.StatusOK {
			return "http://" + address
		}

		if time.Now().After(end) {
			t.Fatalf("Prometheus is not ready: %v", err)
		}
	}
}

// What a Prometheus has recorded of a pool's workers is replayed, and what it has not is not zero.
func TestSimulateRecorded(t *testing.T) {
	url := prometheus(t, map[string][]string{
		`namespace="a",dispatcher="coder",pod="1"`: {"0", "10", "10", "10", "10", "", "", "", "0", "0", "0", "0"},
		`namespace="a",dispatcher="coder",pod="2"`: {"0", "0", "10", "10", "10", "", "", "", "0", "0", "0", "0"},
		`namespace="b",dispatcher="coder",pod="3"`: {"99", "99", "99", "99", "99", "99", "99", "99", "99", "99", "99", "99"},
	})
	policy := file(t, "kind: AIDispatcher\nmetadata: {name: coder, namespace: a}\nspec: {scaling: {metrics: [{type: QueueDepth, target: 5}], scaleDown: {stabilizationSeconds: 60}}}\n")
	cmd := SimulateCmd{Policy: policy, Output: "json", recorded: recorded{Prometheus: url, Since: 12 * time.Minute, Until: time.Minute, Step: time.Minute}}

	var out bytes.Buffer
	if err := cmd.Run(t.Context(), &Output{Out: &out, Err: io.Discard, Now: func() time.Time { return recordedAt.Add(12 * time.Minute) }}); err != nil {
		t.Fatal(err)
	}

	var got simulation
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}

	var sizes []string
	for _, c := range got.Changes {
		sizes = append(sizes, fmt.Sprintf("%s %d", c.Time.Sub(recordedAt), c.To))
	}

	// Three minutes are not known, which is longer than the window: so a minute more goes by before anybody is removed.
	if want := "1m0s 2, 2m0s 4, 9m0s 1"; strings.Join(sizes, ", ") != want || got.Unknown != 180 {
		t.Errorf("sizes %v, unknown for %g seconds, want %s, 180", sizes, got.Unknown, want)
	}

	// Two series are none.
	cmd.Query = map[string]string{"QueueDepth": "agent_queue_depth"}
	if err := cmd.Run(t.Context(), &Output{Out: io.Discard, Err: io.Discard, Now: func() time.Time { return recordedAt.Add(12 * time.Minute) }}); err == nil || !strings.Contains(err.Error(), "returns 3 series and must return one") {
		t.Errorf("error %v", err)
	}

	cmd.Query = map[string]string{"QueueDepth": "sum("}
	if err := cmd.Run(t.Context(), &Output{Out: io.Discard, Err: io.Discard, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("error %v", err)
	}
}
