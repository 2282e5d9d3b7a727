package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// pollInterval is the time between two looks at the pod's annotations. The kubelet takes 0.1 to 0.2 s to write them, and
// reading a few hundred bytes of tmpfs ten times a second costs nothing; a watch would cost a dependency.
const pollInterval = 100 * time.Millisecond

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
	// DrainGrace is the time that new requests get to go elsewhere. DrainTimeout bounds the wait for a drain.
	DrainGrace, DrainTimeout time.Duration
}

// Run is the monitor, until its context is done. Everything it starts has ended when it returns.
func Run(ctx context.Context, c Config, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	reg := prometheus.NewRegistry()
	w := NewWorker(c.Identity, c.DrainGrace, time.Now)
	register(reg, w)

	proxy, err := NewProxy(c.ModelEndpoint, c.ModelProtocol, c.ModelKeyFile, reg, log)
	if err != nil {
		return err
	}

	servers := map[string]http.Handler{c.Listen: Handler(w, reg, c.DrainTimeout), c.ProxyListen: proxy}
	errs := make(chan error, len(servers))

	var wg sync.WaitGroup
	defer wg.Wait()

	for address, h := range servers {
		lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			cancel()

			return fmt.Errorf("cannot listen on %s: %w", address, err)
		}

		wg.Go(func() { errs <- serve(ctx, lis, h) })
	}

	wg.Go(func() { watch(ctx, filepath.Join(c.PodinfoDir, monitorapi.PodinfoAnnotations), w, log) })
	log.Info("the monitor runs", "listen", c.Listen, "proxy", c.ProxyListen, "dispatcher", c.Identity.Dispatcher, "role", c.Identity.Role)

	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		cancel()

		return err
	}
}

// serve serves until the context is done, and then lets open requests end for a while.
func serve(ctx context.Context, lis net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()

		if srv.Shutdown(late) != nil {
			_ = srv.Close()
		}
	})
	defer stop()

	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve on %s: %w", lis.Addr(), err)
	}

	return nil
}

// watch obeys the pod's annotations until the context is done. What cannot be read changes nothing: a worker keeps the
// last command it understood.
func watch(ctx context.Context, file string, w *Worker, log *slog.Logger) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()

	complained := false

	for {
		annotations, err := readPodinfo(file)
		if err == nil {
			before := w.Draining()
			w.Obey(annotations)
			complained = false

			if s := w.Status(); (s.State != monitorapi.StateActive) != before {
				log.Info("the worker's state changed", "state", s.State, "drain", s.DrainID)
			}
		} else if !complained {
			log.Warn("cannot obey", "error", err.Error())

			complained = true
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
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
			if w.Draining() {
				return 1
			}

			return 0
		}))
}
