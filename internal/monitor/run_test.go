package monitor

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// logged tells of each line that is logged.
type logged chan string

func (l logged) Write(b []byte) (int, error) {
	l <- string(b)

	return len(b), nil
}

// wait reads the log until a line with a text in it came.
func (l logged) wait(t *testing.T, text string) string {
	t.Helper()

	for late := time.After(10 * time.Second); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			t.Fatalf("the monitor did not say %q", text)
		}
	}
}

// Whatever a monitor starts has ended when it has ended, also where it could not start or its volume is not there.
func TestRunLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)

	podinfo := t.TempDir()
	file := filepath.Join(podinfo, monitorapi.PodinfoAnnotations)

	if err := os.WriteFile(file, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}

	for name, dir := range map[string]string{"WithVolume": podinfo, "WithoutVolume": filepath.Join(podinfo, "none")} {
		t.Run(name, func(t *testing.T) {
			lines := make(logged, 100)
			log := slog.New(slog.NewJSONHandler(lines, nil))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)

			go func() {
				ended <- Run(ctx, Config{
					Listen: "127.0.0.1:0", ProxyListen: "127.0.0.1:0", PodinfoDir: dir,
					ModelEndpoint: "http://127.0.0.1:1", ModelProtocol: ProtocolOpenAI, StopTimeout: time.Second,
				}, log)
			}()

			lines.wait(t, "cannot obey")

			if dir == podinfo {
				// What could not be read is read once it can, and obeyed.
				if err := os.WriteFile(file, []byte(monitorapi.AnnotationDrain+`="d1"`), 0o600); err != nil {
					t.Error(err)
				}

				lines.wait(t, `"drain":"d1"`)
			}

			cancel()

			if err := <-ended; err != nil {
				t.Errorf("Run(...): %v", err)
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	defer goleak.VerifyNone(t)

	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	err = Run(t.Context(), Config{
		Listen: "127.0.0.1:0", ProxyListen: taken.Addr().String(), PodinfoDir: t.TempDir(),
		ModelEndpoint: "http://127.0.0.1:1", ModelProtocol: ProtocolOpenAI,
	}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("Run(...): %v, want an error that names the port that is taken", err)
	}
}

// A server ends with its context, and finishes what it has begun.
func TestServe(t *testing.T) {
	defer goleak.VerifyNone(t)

	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	lis, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	ended := make(chan error, 1)

	go func() {
		ended <- serve(ctx, lis[0], http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			close(begun)
			// The listener is closed once the server has heard that it is to end.
			for {
				c, err := net.Dial("tcp", lis[0].Addr().String())
				if err != nil {
					break
				}

				_ = c.Close()
			}

			_, _ = io.WriteString(rw, "whole")
		}))
	}()

	go func() {
		<-begun
		cancel()
	}()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	rsp, err := client.Get("http://" + lis[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	if b, err := io.ReadAll(rsp.Body); string(b) != "whole" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}

	if err := <-ended; err != nil {
		t.Errorf("serve(...): %v", err)
	}
}
