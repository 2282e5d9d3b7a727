//go:build integration

// Package examples_test runs the agents of the examples as their entries in the catalog render, under the monitor as it is shipped.
package examples_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// bin has the monitor and the model server.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		panic(err)
	}

	bin = dir
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/", "../cmd/monitor", "../cluster/model")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")

	if out, err := build.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("cannot build the programs: %v\n%s", err, out))
	}

	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A pool is what an example renders to, and where its workers' checkpoints are.
type pool struct {
	dir  string
	spec corev1.PodSpec
	// secrets are the values of the Secrets that it names, by NAME/KEY, and env what else its agents are given.
	secrets map[string]string
	env     []string

	model  *gate
	repo   *checkpoint.Repository
	place  string
	epochs int64
}

var key = checkpoint.DataKey{1, 2, 3}

func newPool(t *testing.T, dir string) *pool {
	t.Helper()

	p := &pool{dir: dir, spec: rendered(t, dir), model: newGate(t), place: t.TempDir()}
	c := store.Config{URL: "file://" + t.TempDir(), Prefix: "team-a/" + dir}

	for name, text := range map[string]string{
		monitorapi.CheckpointURL: c.URL, monitorapi.CheckpointPrefix: c.Prefix, monitorapi.CheckpointKey: hex.EncodeToString(key[:]),
	} {
		write(t, filepath.Join(p.place, name), text)
	}

	b, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = b.Close() })

	p.repo, err = checkpoint.Create(t.Context(), b, key, checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return p
}

// rendered returns the pod of an example's workers.
func rendered(t *testing.T, dir string) corev1.PodSpec {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(dir, "rendered.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	for doc := range strings.SplitSeq(string(b), "---\n") {
		d := &appsv1.Deployment{}
		if err := yaml.Unmarshal([]byte(doc), d); err == nil && d.Kind == "Deployment" {
			return d.Spec.Template.Spec
		}
	}

	t.Fatalf("%s renders to no Deployment", dir)

	return corev1.PodSpec{}
}

// A worker is a pod that runs here: its restore, its monitor and its agent.
type worker struct {
	*pool

	volume, podinfo string
	slot, epoch     int64
	// ports are the addresses here of the pod's ports.
	ports          map[string]string
	monitor, agent *process
}

// worker starts a new one, on an empty volume.
func (p *pool) worker(t *testing.T, slot int64) *worker {
	t.Helper()

	p.epochs++
	w := &worker{pool: p, volume: t.TempDir(), podinfo: t.TempDir(), slot: slot, epoch: p.epochs, ports: map[string]string{}}
	w.annotate(t, "")

	if w.container("restore") != nil {
		if _, err := p.repo.ClaimAt(t.Context(), fmt.Sprint(slot), w.epoch, fmt.Sprint("pod-", w.epoch)); err != nil {
			t.Fatal(err)
		}

		if err := w.run(t, "restore", nil).ended(t, time.Minute); err != nil {
			t.Fatalf("the restore failed: %v", err)
		}
	}

	w.monitor = w.run(t, "monitor", nil)
	eventually(t, "the monitor answers", func() bool {
		code, _ := ask(t, http.MethodGet, w.url(monitorapi.Port)+monitorapi.PathLive, "")
		return code == http.StatusOK
	})

	probe := w.container("agent").ReadinessProbe.HTTPGet
	w.agent = w.run(t, "agent", []string{"PORT=" + port(w.at(t, probe.Port.IntValue()))})
	eventually(t, "the agent is ready", func() bool {
		code, _ := ask(t, http.MethodGet, w.url(probe.Port.IntValue())+probe.Path, "")

		return code == http.StatusOK
	})

	return w
}

func (w *worker) container(name string) *corev1.Container {
	all := append(append([]corev1.Container{}, w.spec.InitContainers...), w.spec.Containers...)
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}

	return nil
}

// at returns the address here of a port of the pod's.
func (w *worker) at(t *testing.T, port int) string {
	t.Helper()

	name := fmt.Sprint(port)
	if w.ports[name] == "" {
		w.ports[name] = free(t)
	}

	return w.ports[name]
}

func (w *worker) url(port int) string { return "http://" + w.ports[fmt.Sprint(port)] }

// clients is where the pool's Service leads.
func (w *worker) clients() string {
	for _, e := range w.container("monitor").Env {
		if e.Name == monitorapi.EnvInboundUpstream {
			return w.url(monitorapi.InboundPort)
		}
	}

	return w.url(int(w.container("agent").Ports[0].ContainerPort))
}

var loopback = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)

// run runs a container as it is rendered, but for its addresses and directories.
func (w *worker) run(t *testing.T, name string, env []string) *process {
	t.Helper()

	c := w.container(name)
	stateDir := ""

	for _, e := range c.Env {
		value := loopback.ReplaceAllStringFunc(e.Value, func(s string) string {
			var port int
			_, _ = fmt.Sscanf(loopback.FindStringSubmatch(s)[1], "%d", &port)

			return w.at(t, port)
		})

		switch {
		case e.Name == monitorapi.EnvModelEndpoint:
			value = strings.Replace(value, "https://models.example.org", w.model.url, 1)
		case e.Name == monitorapi.EnvStateVolume:
			value = w.volume
		case e.Name == monitorapi.EnvCheckpointDir:
			value = w.place
		case e.Name == "STATE_DIR":
			value = filepath.Join(w.volume, monitorapi.StateSubPath)
			stateDir = value
		case e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil:
			value = w.secrets[e.ValueFrom.SecretKeyRef.Name+"/"+e.ValueFrom.SecretKeyRef.Key]
		case e.ValueFrom != nil:
			value = fmt.Sprint(w.dir, "-", w.epoch)
		}

		env = append(env, e.Name+"="+value)
	}

	if name == "agent" {
		return w.runAgent(t, c, append(env, w.env...), stateDir)
	}

	keyFile := filepath.Join(t.TempDir(), "key")
	write(t, keyFile, modelKey)

	return start(t, nil, append(env,
		"MONITOR_LISTEN="+w.at(t, monitorapi.Port), "MONITOR_PROXY_LISTEN="+w.at(t, monitorapi.ProxyPort), "MONITOR_INBOUND_LISTEN="+w.at(t, monitorapi.InboundPort),
		"MONITOR_PODINFO_DIR="+w.podinfo, "MONITOR_MODEL_KEY_FILE="+keyFile,
	), append([]string{filepath.Join(bin, "monitor")}, c.Args...)...)
}

// runAgent runs an agent with the files that its image has in /app.
func (w *worker) runAgent(t *testing.T, c *corev1.Container, env []string, stateDir string) *process {
	t.Helper()

	app := t.TempDir()
	if err := os.CopyFS(app, os.DirFS(w.dir)); err != nil {
		t.Fatal(err)
	}

	if err := os.Symlink(filepath.Join(cache(t), "npm", "agents", "node_modules"), filepath.Join(app, "node_modules")); err != nil {
		t.Fatal(err)
	}

	// A volume's directory is there before its container is.
	if stateDir != "" {
		if err := os.MkdirAll(stateDir, 0o700); err != nil {
			t.Fatal(err)
		}
	}

	command := append(append([]string{}, c.Command...), c.Args...)
	for i := range command {
		command[i] = strings.Replace(command[i], "/app/", app+"/", 1)
	}

	// What a container has of this machine is its programs.
	return start(t, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + app}, env, command...)
}

// annotate writes the pod's annotations, with a drain or without.
func (w *worker) annotate(t *testing.T, drain string) {
	t.Helper()

	text := fmt.Sprintf("%s=\"%d\"\n%s=\"%d\"\n%s=%q\n", monitorapi.AnnotationSlot, w.slot, monitorapi.AnnotationEpoch, w.epoch, monitorapi.AnnotationRestore, monitorapi.RestoreLatest)
	if drain != "" {
		text += fmt.Sprintf("%s=%q\n", monitorapi.AnnotationDrain, drain)
	}

	// Whole or not at all, as the kubelet does it.
	write(t, filepath.Join(w.podinfo, "new"), text)

	if err := os.Rename(filepath.Join(w.podinfo, "new"), filepath.Join(w.podinfo, monitorapi.PodinfoAnnotations)); err != nil {
		t.Fatal(err)
	}
}

// load is what a monitor says of its agent's tasks.
type load struct{ queueDepth, inFlight int64 }

// becomes waits until the monitor says so, and returns what else it says.
func (w *worker) becomes(t *testing.T, state monitorapi.State, want load) monitorapi.Status {
	t.Helper()

	var s monitorapi.Status

	eventuallyOr(t, fmt.Sprintf("%s becomes %s with %+v", w.dir, state, want), func() bool {
		_, body := ask(t, http.MethodGet, w.url(monitorapi.Port)+monitorapi.PathStatus, "")

		s = monitorapi.Status{}
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			return false
		}

		return s.State == state && s.Tasks.Known && s.Tasks.QueueDepth != nil && s.Tasks.InFlight != nil &&
			(load{*s.Tasks.QueueDepth, *s.Tasks.InFlight}) == want
	}, func() string {
		b, _ := json.Marshal(s)

		return fmt.Sprintf("it says %s\nagent: %s\nmonitor: %s", b, w.agent.said(), w.monitor.said())
	})

	return s
}

// end ends a worker as the kubelet does: the agent, and when it has ended the monitor.
func (w *worker) end(t *testing.T) {
	t.Helper()

	for _, p := range []*process{w.agent, w.monitor} {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}

		if err := p.ended(t, time.Minute); err != nil {
			t.Fatalf("%s did not end well: %v\n%s", p.cmd.Path, err, p.said())
		}
	}
}
