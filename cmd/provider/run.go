package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	changelogsv1alpha1 "github.com/crossplane/crossplane-runtime/v2/apis/changelogs/proto/v1alpha1"
	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/gate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"

	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/keda"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/dashboard"
	"github.com/southwest-ai/agent-operator/internal/pages"
)

// leaseName is the name of the lease that the leader holds.
const leaseName = "crossplane-leader-election-provider-aidispatcher"

// run runs the provider until ctx is done or a controller cannot be set up.
func (c *cli) run(ctx context.Context) error {
	zl := zap.New(zap.UseDevMode(c.Debug))
	ctrl.SetLogger(zl)

	log := logging.NewLogrLogger(zl.WithName("provider-aidispatcher"))

	cfg, err := ctrl.GetConfig()
	if err != nil {
		return errors.Wrap(err, "cannot find the API server: set KUBECONFIG or run in a pod")
	}

	mgr, err := ctrl.NewManager(ratelimiter.LimitRESTConfig(cfg, c.MaxReconcileRate), c.managerOptions())
	if err != nil {
		return errors.Wrap(err, "cannot create the manager")
	}

	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return errors.Wrap(err, "cannot add the health checks")
	}

	o, err := c.controllerOptions(log)
	if err != nil {
		return err
	}

	parts := controller.Parts{
		Sizes: agentscaler.NewMetrics(), Slots: slot.NewMetrics(), Budgets: budget.NewMetrics(), Memory: vectorcollection.NewMetrics(), Stores: stores(),
		Checkpoints: checkpoint.Options{Metrics: checkpoint.NewMetrics()}, Demands: keda.NewDemands(),
	}
	metrics.Registry.MustRegister(parts.Sizes, parts.Slots, parts.Budgets, parts.Memory, parts.Checkpoints.Metrics, o.MetricOptions.MRMetrics, o.MetricOptions.MRStateMetrics)

	// A controller may turn out not to work long after the manager was started; then the provider ends with the reason.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	if err := controller.SetupGated(mgr, o, parts, func(err error) { cancel(err) }, managed.WithPollJitterHook(c.PollJitter)); err != nil {
		return err
	}

	if err := c.addPage(mgr, log); err != nil {
		return err
	}

	if c.KEDABindAddress != "0" {
		if err := mgr.Add(keda.NewServer(parts.Demands, c.KEDABindAddress, c.KEDATLSDir, log)); err != nil {
			return errors.Wrap(err, "cannot add the server for KEDA")
		}
	}

	pages.Return()
	log.Info("Starting", "version", version, "leader-election", c.LeaderElection)

	if err := mgr.Start(ctx); err != nil {
		return errors.Wrap(err, "cannot run the controllers")
	}

	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}

	return nil
}

// addPage has the manager serve the page of pools, if it is wanted.
func (c *cli) addPage(mgr ctrl.Manager, log logging.Logger) error {
	if c.PageBindAddress == "0" || c.PageBindAddress == "" {
		return nil
	}

	access, err := dashboard.NewAccess(mgr.GetConfig())
	if err != nil {
		return err
	}

	requests := dashboard.NewRequests()
	metrics.Registry.MustRegister(requests)

	return errors.Wrap(mgr.Add(dashboard.New(dashboard.Options{
		Address: c.PageBindAddress, Certs: c.PageCertsDir, Access: access, Cache: mgr.GetCache(), Live: mgr.GetAPIReader(),
		Monitors: monitors.NewClient(nil), Log: log.WithValues("part", "page"),
	}, requests)), "cannot serve the page of pools")
}

func (c *cli) managerOptions() ctrl.Options {
	retry := time.Second

	return ctrl.Options{
		Scheme:                  controller.NewScheme(),
		Cache:                   controller.CacheOptions(c.Sync),
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: controller.Uncached()}},
		Controller:              controller.QueueConfig(),
		Metrics:                 metricsserver.Options{BindAddress: c.MetricsBindAddress},
		HealthProbeBindAddress:  c.HealthProbeBindAddress,
		GracefulShutdownTimeout: &c.ShutdownTimeout,

		LeaderElection:             c.LeaderElection,
		LeaderElectionID:           leaseName,
		LeaderElectionNamespace:    c.LeaderElectionNamespace,
		LeaderElectionResourceLock: resourcelock.LeasesResourceLock,
		// The process ends when the manager does, so nothing of it runs on without the lease.
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &c.LeaseDuration,
		RenewDeadline:                 &c.LeaseRenewDeadline,
		RetryPeriod:                   &retry,
	}
}

func (c *cli) controllerOptions(log logging.Logger) (xpcontroller.Options, error) {
	o := xpcontroller.Options{
		Logger:                  log,
		GlobalRateLimiter:       ratelimiter.NewGlobal(c.MaxReconcileRate),
		PollInterval:            c.Poll,
		MaxConcurrentReconciles: c.MaxReconcileRate,
		Features:                &feature.Flags{},
		Gate:                    new(gate.Gate[schema.GroupVersionKind]),
		MetricOptions: &xpcontroller.MetricOptions{
			PollStateMetricInterval: c.PollStateMetric,
			MRMetrics:               managed.NewMRMetricRecorder(),
			MRStateMetrics:          statemetrics.NewMRStateMetrics(),
		},
	}

	if c.EnableManagementPolicies {
		o.Features.Enable(feature.EnableBetaManagementPolicies)
	}

	if c.EnableChangelogs {
		o.Features.Enable(feature.EnableAlphaChangeLogs)

		conn, err := grpc.NewClient("unix://"+c.ChangelogsSocketPath, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return o, errors.Wrapf(err, "cannot use the change log's socket %s", c.ChangelogsSocketPath)
		}

		o.ChangeLogOptions = &xpcontroller.ChangeLogOptions{ChangeLogger: managed.NewGRPCChangeLogger(
			changelogsv1alpha1.NewChangeLogServiceClient(conn),
			managed.WithProviderVersion("provider-aidispatcher:"+version))}
	}

	return o, nil
}
