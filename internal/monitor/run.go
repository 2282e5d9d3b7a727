package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/southwest-ai/agent-operator/internal/monitor/budget"
	"github.com/southwest-ai/agent-operator/internal/monitor/inbound"
	"github.com/southwest-ai/agent-operator/internal/monitor/push"
	"github.com/southwest-ai/agent-operator/internal/monitor/saver"
	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// shutdownTimeout bounds how long open requests may keep a monitor that was told to end.
const shutdownTimeout = 5 * time.Second

// Config of a monitor.
type Config struct {
	// Identity of the worker: namespace, dispatcher, role and pod.
	Identity monitorapi.Status
	// Listen is the address of status, metrics and health; ProxyListen that of the model proxy, and InboundListen that of the
	// inbound proxy.
	Listen, ProxyListen, InboundListen string
	// PodinfoDir holds the pod's annotations.
	PodinfoDir string
	// ModelEndpoint, ModelProtocol and ModelKeyFile say where the model is and how to get in.
	ModelEndpoint, ModelProtocol, ModelKeyFile string
	// Metering is monitorapi.MeteringProxy, or MeteringOff where there is to be no model proxy.
	Metering string
	// AskForUsage asks the model server for the usage of streams; OTelNames tells the figures by OpenTelemetry's names, too.
	AskForUsage, OTelNames bool
	// TokenShare is the share of the pool's token budget that the worker starts with, empty for none; BudgetWait is how long a
	// request waits for it.
	TokenShare string
	BudgetWait time.Duration
	// Tasks say where the agent's load is told. Its source may be monitorapi.SourceNone or SourceInbound, too.
	Tasks tasks.Config
	// InboundUpstream is the agent's address behind the inbound proxy, which speaks InboundProtocol; empty for no such proxy.
	InboundUpstream, InboundProtocol string
	// Push is where the figures are pushed to; its URL is empty for nowhere. Its labels are set here.
	Push push.Config
	// Drain are the times of a drain, and StopTimeout bounds how long the agent's preStop hook waits for it.
	Drain       Times
	StopTimeout time.Duration
	// DrainHookURL is what the agent is told of a drain by, and DrainHookTimeout the deadline of a call; empty for no hook.
	DrainHookURL     string
	DrainHookTimeout time.Duration
	// Saver is how the state is saved; its Dir is empty for a worker whose pool has no checkpoint repository. Slot and epoch are
	// the pod's.
	Saver saver.Config
}

// A monitor is what one is made of: what it serves, and what goes on beside that.
type monitor struct {
	worker   *Worker
	registry *prometheus.Registry
	log      *slog.Logger
	senses   Senses
	// counted tells the tasks that the inbound proxy heard of; nil where it does not.
	counted tasks.Source

	servers []server
	// loops end with their context.
	loops []func(context.Context)
	// closers are called when all else has ended.
	closers []func()
}

// A server answers on an address. Its name is for the log.
type server struct {
	name, address string
	handler       http.Handler
}

// Run is the monitor, until its context is done. Everything it starts has ended when it returns.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	m, err := compose(c, log)
	if err != nil {
		return err
	}

	defer m.close()

	return m.run(ctx, c.Identity)
}

func (m *monitor) close() {
	for _, end := range m.closers {
		end()
	}
}

// compose puts a monitor together.
func compose(c Config, log *slog.Logger) (*monitor, error) {
	m := &monitor{worker: NewWorker(c.Identity, c.Drain, time.Now), registry: prometheus.NewRegistry(), log: log}
	register(m.registry, m.worker)
	m.serve("listen", c.Listen, Handler(m.worker, m.registry, c.StopTimeout, log))

	for _, add := range []func(Config) error{m.addModel, m.addInbound, m.addTasks, m.addHook, m.addPush, m.addSaver} {
		if err := add(c); err != nil {
			return nil, err
		}
	}

	m.worker.Sense(m.senses)

	o := &obeyer{dir: c.PodinfoDir, worker: m.worker, log: log}
	o.look()

	m.loops = append(m.loops, o.watch)

	return m, nil
}

func (m *monitor) serve(name, address string, h http.Handler) {
	m.servers = append(m.servers, server{name, address, h})
}

// addModel adds the model proxy, unless a gateway counts.
func (m *monitor) addModel(c Config) error {
	if c.Metering == monitorapi.MeteringOff {
		return nil
	}

	l, err := budget.New(c.Identity.Dispatcher, c.TokenShare, c.BudgetWait, time.Now)
	if err != nil {
		return err
	}

	if err := m.registry.Register(l); err != nil {
		return fmt.Errorf("cannot tell the figures of the budget: %w", err)
	}

	p, err := NewProxy(ProxyConfig{
		Identity: c.Identity, Endpoint: c.ModelEndpoint, Protocol: c.ModelProtocol, KeyFile: c.ModelKeyFile,
		AskForUsage: c.AskForUsage, OTelNames: c.OTelNames, Admit: l.Admit,
	}, m.registry, m.log)
	if err != nil {
		return err
	}

	m.senses.Tokens, m.senses.Budget, m.senses.Share = p.Tokens, l.Budget, l.SetShare
	m.serve("proxy", c.ProxyListen, p)
	m.closers = append(m.closers, p.Close)

	return nil
}

// addInbound adds the proxy before the agent's own port, where there is one.
func (m *monitor) addInbound(c Config) error {
	if c.InboundUpstream == "" {
		return nil
	}

	p, err := inbound.New(c.InboundUpstream, c.InboundProtocol, m.worker.Draining, m.log)
	if err != nil {
		return err
	}

	m.senses.Open, m.senses.Ended = p.Open, p.Ended
	if t := p.Tally(); t != nil {
		m.loops = append(m.loops, t.Run)
		m.counted = tasks.Func(func(ctx context.Context) (tasks.Load, error) {
			depth, flight, waits, err := t.Count(ctx)

			return tasks.Load{QueueDepth: &depth, InFlight: &flight, WaitingForInput: &waits}, err
		})
	}

	m.serve("inbound", c.InboundListen, p)
	m.closers = append(m.closers, p.Close)

	return nil
}

// addTasks adds what watches the agent's tasks. Where nobody does, that is told, too.
func (m *monitor) addTasks(c Config) error {
	source, err := m.source(c)
	if err != nil {
		return err
	}

	w := tasks.NewWatcher(source, prometheus.Labels{
		monitorapi.LabelNamespace: c.Identity.Namespace, monitorapi.LabelDispatcherName: c.Identity.Dispatcher, monitorapi.LabelRoleName: c.Identity.Role,
	}, time.Now)
	if err := m.registry.Register(w); err != nil {
		return fmt.Errorf("cannot tell the figures of the tasks: %w", err)
	}

	if source != nil {
		m.senses.Tasks = w.Tasks
		m.loops = append(m.loops, w.Run)
	}

	return nil
}

func (m *monitor) source(c Config) (tasks.Source, error) {
	switch c.Tasks.Source {
	case "", monitorapi.SourceNone:
		return nil, nil //nolint:nilnil // No source is one of the choices.
	case monitorapi.SourceInbound:
		open := m.senses.Open
		if open == nil {
			return nil, errors.New("cannot count tasks at the inbound proxy: there is none")
		}

		return tasks.Func(func(context.Context) (tasks.Load, error) {
			n := open()

			return tasks.Load{QueueDepth: &n, InFlight: &n}, nil
		}), nil
	default:
		c.Tasks.Counted = m.counted

		return tasks.NewSource(c.Tasks)
	}
}

// addHook adds the agent's drain hook, where it has one.
func (m *monitor) addHook(c Config) error {
	if c.DrainHookURL == "" {
		return nil
	}

	h, err := newDrainHook(c.DrainHookURL, c.DrainHookTimeout, m.log)
	if err != nil {
		return err
	}

	m.loops = append(m.loops, func(ctx context.Context) { h.run(ctx, m.worker) })

	return nil
}

// addSaver adds what saves the state, where there is a repository.
func (m *monitor) addSaver(c Config) error {
	if c.Saver.Dir == "" {
		return nil
	}

	slot, epoch, err := holding(c.PodinfoDir)
	if err != nil {
		return err
	}

	c.Saver.Slot, c.Saver.Epoch = slot, epoch

	s, err := saver.New(c.Saver, time.Now, m.log)
	if err != nil {
		return err
	}

	if err := m.registry.Register(s); err != nil {
		return fmt.Errorf("cannot tell the figures of the checkpoints: %w", err)
	}

	m.senses.Checkpoint, m.senses.Saved, m.senses.Withdraw, m.senses.Save = s.Status, s.Saved, s.Withdraw, s.Save
	m.loops = append(m.loops, s.Run)

	return nil
}

// addPush adds remote write, where it is asked for.
func (m *monitor) addPush(c Config) error {
	if c.Push.URL == "" {
		return nil
	}

	c.Push.Labels = push.Labels(c.Identity)

	p, err := push.New(c.Push, m.registry, m.log)
	if err != nil {
		return err
	}

	if err := m.registry.Register(p); err != nil {
		return fmt.Errorf("cannot tell the figures of pushing: %w", err)
	}

	m.loops = append(m.loops, p.Run)

	return nil
}

// run serves and watches until the context is done, or a server cannot go on.
func (m *monitor) run(ctx context.Context, id monitorapi.Status) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	addresses := make([]string, 0, len(m.servers))
	for _, s := range m.servers {
		addresses = append(addresses, s.address)
	}

	lis, err := listen(ctx, addresses...)
	if err != nil {
		return err
	}

	errs := make(chan error, len(lis))

	var wg sync.WaitGroup
	defer wg.Wait()

	said := []any{"namespace", id.Namespace, "dispatcher", id.Dispatcher, "role", id.Role}

	for i, s := range m.servers {
		wg.Go(func() { errs <- serve(ctx, lis[i], s.handler) })

		said = append(said, s.name, lis[i].Addr().String())
	}

	for _, loop := range m.loops {
		wg.Go(func() { loop(ctx) })
	}

	m.log.Info("the monitor runs", said...)

	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		cancel()

		return err
	}
}

// listen listens on all addresses, or on none.
func listen(ctx context.Context, addresses ...string) ([]net.Listener, error) {
	var out []net.Listener

	for _, a := range addresses {
		lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a)
		if err != nil {
			for _, l := range out {
				_ = l.Close()
			}

			return nil, fmt.Errorf("cannot listen on %s: %w", a, err)
		}

		out = append(out, lis)
	}

	return out, nil
}

// serve serves until the context is done, and then lets open requests end for a while. None is open when it returns.
func serve(ctx context.Context, lis net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)

	go func() { failed <- srv.Serve(lis) }()

	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve on %s: %w", lis.Addr(), err)
	case <-ctx.Done():
	}

	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()

	if srv.Shutdown(late) != nil {
		_ = srv.Close()
	}

	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve on %s: %w", lis.Addr(), err)
	}

	return nil
}

func register(reg *prometheus.Registry, w *Worker) {
	id := w.Status()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: monitorapi.MetricInfo, Help: "The pool this worker belongs to.",
		ConstLabels: prometheus.Labels{"dispatcher": id.Dispatcher, "role": id.Role},
	})
	info.Set(1)

	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: monitorapi.MetricDraining, Help: "Whether the worker takes no new tasks."}, func() float64 {
			if w.Status().State != monitorapi.StateActive {
				return 1
			}

			return 0
		}))
}
