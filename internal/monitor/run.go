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

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// shutdownTimeout bounds how long open requests may keep a monitor that was told to end.
const shutdownTimeout = 5 * time.Second

// Config of a monitor.
type Config struct {
	// Identity of the worker: namespace, dispatcher, role and pod.
	Identity monitorapi.Status
	// Listen is the address of status, metrics and health; ProxyListen that of the model proxy.
	Listen, ProxyListen string
	// PodinfoDir holds the pod's annotations.
	PodinfoDir string
	// ModelEndpoint, ModelProtocol and ModelKeyFile say where the model is and how to get in.
	ModelEndpoint, ModelProtocol, ModelKeyFile string
	// Metering is monitorapi.MeteringProxy, or MeteringOff where there is to be no model proxy.
	Metering string
	// AskForUsage asks the model server for the usage of streams; OTelNames tells the figures by OpenTelemetry's names, too.
	AskForUsage, OTelNames bool
	// DrainGrace is the time that new requests get to go elsewhere. DrainTimeout bounds the wait for a drain. DrainLapse is
	// the time after which a worker serves again whose agent was restarted.
	DrainGrace, DrainTimeout, DrainLapse time.Duration
}

// Run is the monitor, until its context is done. Everything it starts has ended when it returns.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	reg := prometheus.NewRegistry()
	w := NewWorker(c.Identity, c.DrainGrace, c.DrainLapse, time.Now)
	register(reg, w)

	addresses, handlers := []string{c.Listen}, []http.Handler{Handler(w, reg, c.DrainTimeout, log)}
	where := ""

	if c.Metering != monitorapi.MeteringOff {
		proxy, err := NewProxy(ProxyConfig{
			Identity: c.Identity, Endpoint: c.ModelEndpoint, Protocol: c.ModelProtocol, KeyFile: c.ModelKeyFile,
			AskForUsage: c.AskForUsage, OTelNames: c.OTelNames,
		}, reg, log)
		if err != nil {
			return err
		}

		defer proxy.Close()

		addresses, handlers = append(addresses, c.ProxyListen), append(handlers, proxy)
	}

	lis, err := listen(ctx, addresses...)
	if err != nil {
		return err
	}

	if len(lis) > 1 {
		where = lis[1].Addr().String()
	}

	errs := make(chan error, len(lis))

	var wg sync.WaitGroup
	defer wg.Wait()

	for i := range lis {
		wg.Go(func() { errs <- serve(ctx, lis[i], handlers[i]) })
	}

	wg.Go(func() { watch(ctx, c.PodinfoDir, w, log) })
	log.Info("the monitor runs", "listen", lis[0].Addr().String(), "proxy", where,
		"namespace", c.Identity.Namespace, "dispatcher", c.Identity.Dispatcher, "role", c.Identity.Role)

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
