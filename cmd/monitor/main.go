// Command monitor is a worker's sidecar. It only wires.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/southwest-ai/agent-operator/internal/monitor"
	"github.com/southwest-ai/agent-operator/internal/monitor/push"
	"github.com/southwest-ai/agent-operator/internal/monitor/saver"
	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/pages"
)

// version is stamped by the build.
var version = "dev"

type cli struct {
	Restore restoreCmd `cmd:"" help:"Prepare the state directory before the agent starts."`
	Run     runCmd     `cmd:"" help:"Watch over the agent until told to end."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(k *kong.Kong) error {
	_, err := fmt.Fprintln(k.Stdout, version)

	return err
}

type restoreCmd struct {
	PodinfoDir  string `default:"${podinfo}"     help:"Directory of the downward API volume."`
	StateVolume string `default:"${statevolume}" help:"Where the volume is mounted of which the agent has a directory."`

	CheckpointDir string `help:"Where the Secret is mounted that says where the pool's checkpoints are. Without it nothing is restored."`
}

// Run restores.
func (c *restoreCmd) Run(ctx context.Context, log *slog.Logger) error {
	err := monitor.Restore(ctx, monitor.RestoreConfig{PodinfoDir: c.PodinfoDir, StateVolume: c.StateVolume, CheckpointDir: c.CheckpointDir}, log)
	if err != nil {
		// Where kubectl describe shows it. Elsewhere than in a pod there is no such file.
		_ = os.WriteFile(terminationLog, []byte(err.Error()), 0o600)
	}

	return err
}

// terminationLog is the file of a container whose text becomes a part of its status.
const terminationLog = "/dev/termination-log"

type runCmd struct {
	Listen        string        `default:":9797"          help:"Address of status, metrics and health."`
	ProxyListen   string        `default:"127.0.0.1:9798" help:"Address of the model proxy. Keep it on loopback: who reaches it uses the platform's key."`
	PodinfoDir    string        `default:"${podinfo}"     help:"Directory of the downward API volume."`
	ModelEndpoint string        `env:"MONITOR_MODEL_ENDPOINT" help:"Base URL of the model server. Required but with --metering=off."`
	ModelProtocol string        `env:"MONITOR_MODEL_PROTOCOL" default:"OpenAI" enum:"OpenAI,Anthropic" help:"How the key is sent: OpenAI or Anthropic."`
	ModelKeyFile  string        `default:"${keyfile}"     help:"File with the model server's key. Without it requests go as they came."`
	Metering      string        `default:"proxy" enum:"proxy,off" help:"How tokens are counted: at the model proxy, or not at all, without one."`
	AskForUsage   bool          `default:"true" negatable:"" help:"Ask the model server for the usage of streams."`
	OTelNames     bool          `name:"otel-names" env:"MONITOR_OTEL_NAMES" help:"Tell the model's figures by OpenTelemetry's names, too."`
	TokenShare    string        `placeholder:"TOKENS" help:"Share of the pool's token budget to start with, in tokens per minute. The pod's annotation overrules it. Without both there is no budget."`
	BudgetWait    time.Duration `default:"30s"            help:"Longest time a request waits for the token budget before it is refused."`
	DrainGrace    time.Duration `default:"2s"             help:"Time that new requests get to go elsewhere when the worker drains: the readiness probe's period of 1 s, and as much for the endpoints to follow."`
	DrainTimeout  time.Duration `default:"24h"            help:"Longest time a drain waits for tasks in flight."`
	StopTimeout   time.Duration `default:"24h"            help:"Longest time the agent's preStop hook waits for the drain. Keep it under the pod's grace period, of which the agent needs the rest to end."`
	DrainLapse    time.Duration `default:"1m"             help:"Time after which a worker serves again whose agent was restarted, and not deleted."`

	DrainHookURL     string        `name:"drain-hook-url"    env:"MONITOR_DRAIN_HOOK_URL" help:"Where the agent is told of a drain and of its withdrawal, on loopback."`
	DrainHookTimeout time.Duration `default:"5s" help:"Deadline of one call of the hook."`

	TasksSource          string `default:"none" enum:"none,a2a,prometheus,langgraph,http,inbound" help:"Where the agent's load is told: none, a2a, prometheus, langgraph, http or inbound."`
	TasksURL             string `name:"tasks-url" env:"MONITOR_TASKS_URL" help:"What is asked for it, on loopback."`
	TasksQueueDepth      string `placeholder:"FIGURE" help:"Unfinished tasks: metrics such as sum:jobs{state=\"waiting\"} + max:running, or a JSON pointer such as /queue."`
	TasksInFlight        string `placeholder:"FIGURE" help:"Tasks the agent works on."`
	TasksWaitingForInput string `placeholder:"FIGURE" help:"Tasks that wait for somebody else than the agent."`
	TasksSessions        string `placeholder:"FIGURE" help:"Open conversations."`

	InboundListen   string `default:":9799" help:"Address of the inbound proxy."`
	InboundUpstream string `help:"The agent's address behind the inbound proxy, on loopback. Without it there is no such proxy."`
	InboundProtocol string `default:"http" enum:"http,a2a" help:"What is spoken there: http or a2a."`

	StateVolume        string        `default:"${statevolume}" help:"Where the volume is mounted of which the agent has a directory."`
	CheckpointDir      string        `help:"Where the Secret is mounted that says where the pool's checkpoints are. Without it nothing is saved."`
	CheckpointInterval time.Duration `default:"1m" help:"Time between two looks whether the state has changed."`
	CheckpointRate     int64         `placeholder:"BYTES" help:"How many bytes a second are read from the state at most. No bound where it is empty."`
	LastSaveTimeout    time.Duration `default:"10m" help:"How long the save may take that is made when the agent has ended. The pod's grace period ends it earlier."`
	QuiesceURL         string        `name:"quiesce-url" env:"MONITOR_QUIESCE_URL" help:"Where the agent is asked to hold still while its state is read, on loopback."`
	QuiesceTimeout     time.Duration `default:"10s" help:"Deadline of one call of that hook."`

	PushURL       string            `name:"push-url" env:"MONITOR_PUSH_URL" help:"Where to push the figures by Prometheus remote write. Nowhere where it is empty."`
	PushHeaders   map[string]string `mapsep:"," placeholder:"NAME=VALUE" help:"Further headers of a push, no secrets."`
	PushTokenFile string            `default:"${pushtoken}" help:"File with the bearer token of a push."`
	PushCAFile    string            `name:"push-ca-file" env:"MONITOR_PUSH_CA_FILE" default:"${pushca}" help:"File with the certificates that are trusted for a push, in PEM."`

	Namespace  string `env:"MONITOR_NAMESPACE"  help:"The worker's namespace."`
	Dispatcher string `env:"MONITOR_DISPATCHER" help:"The worker's pool."`
	Role       string `env:"MONITOR_ROLE"       help:"The worker's role."`
	Pod        string `env:"MONITOR_POD"        help:"The worker's pod."`
}

// Run watches over the agent.
func (c *runCmd) Run(ctx context.Context, log *slog.Logger) error {
	pages.Return()

	return monitor.Run(ctx, monitor.Config{
		Identity: monitorapi.Status{Namespace: c.Namespace, Dispatcher: c.Dispatcher, Role: c.Role, Pod: c.Pod},
		Listen:   c.Listen, ProxyListen: c.ProxyListen, PodinfoDir: c.PodinfoDir,
		ModelEndpoint: c.ModelEndpoint, ModelProtocol: c.ModelProtocol, ModelKeyFile: c.ModelKeyFile,
		Metering: c.Metering, AskForUsage: c.AskForUsage, OTelNames: c.OTelNames,
		TokenShare: c.TokenShare, BudgetWait: c.BudgetWait,
		Drain:       monitor.Times{Grace: c.DrainGrace, Timeout: c.DrainTimeout, Lapse: c.DrainLapse},
		StopTimeout: c.StopTimeout, DrainHookURL: c.DrainHookURL, DrainHookTimeout: c.DrainHookTimeout,
		Tasks: tasks.Config{
			Source: c.TasksSource, URL: c.TasksURL, QueueDepth: c.TasksQueueDepth, InFlight: c.TasksInFlight,
			WaitingForInput: c.TasksWaitingForInput, Sessions: c.TasksSessions,
		},
		Push: push.Config{URL: c.PushURL, Headers: c.PushHeaders, TokenFile: c.PushTokenFile, CAFile: c.PushCAFile},
		Saver: saver.Config{
			Place:    saver.Place{Volume: c.StateVolume, Dir: c.CheckpointDir},
			Interval: c.CheckpointInterval, LastTimeout: c.LastSaveTimeout, Rate: c.CheckpointRate, QuiesceURL: c.QuiesceURL, QuiesceTimeout: c.QuiesceTimeout,
		},
		InboundListen: c.InboundListen, InboundUpstream: c.InboundUpstream, InboundProtocol: c.InboundProtocol,
	}, log)
}

func main() {
	// A sidecar is there once per agent: memory matters more than the collector's time, and each further processor has
	// caches of its own. Who knows better says so with GOGC and GOMAXPROCS.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}

	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	}

	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	k := kong.Parse(&cli{}, kong.Name("monitor"), kong.Description("The sidecar of an AIDispatcher's worker."),
		kong.Vars{"podinfo": monitorapi.PodinfoDir, "statevolume": monitorapi.StateVolumeDir, "keyfile": filepath.Clean(monitorapi.ModelKeyFile),
			"pushtoken": filepath.Clean(monitorapi.PushTokenFile), "pushca": filepath.Clean(monitorapi.PushCAFile)},
		kong.DefaultEnvars("MONITOR"), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(log))

	if err := k.Run(); err != nil {
		log.Error(err.Error())
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called.
	}
}
