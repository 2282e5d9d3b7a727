package main

import (
	"time"

	"github.com/alecthomas/kong"
)

// A cli is the command line. The names and defaults are those of other Crossplane providers.
type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Debug bool `short:"d" env:"DEBUG" help:"Log what is decided and not only what is done."`

	Sync             time.Duration `short:"s" default:"1h" env:"SYNC" help:"How often everything is looked at again although nothing happened."`
	Poll             time.Duration `default:"1m" env:"POLL" help:"How often a managed resource is compared with its external resource although nothing happened."`
	PollJitter       time.Duration `default:"6s" env:"POLL_JITTER" help:"By how much at most the poll interval is lengthened or shortened, at random."`
	PollStateMetric  time.Duration `default:"5s" env:"POLL_STATE_METRIC" help:"How often the metrics on the state of managed resources are taken."`
	MaxReconcileRate int           `default:"50" env:"MAX_RECONCILE_RATE" help:"How many reconciles a second there may be, and how many of a kind at a time. The rate of requests to the API server follows from it (5 a reconcile)."`

	LeaderElection          bool          `short:"l" default:"false" env:"LEADER_ELECTION" help:"Work only while holding a lease, so that several providers can run."`
	LeaderElectionNamespace string        `env:"POD_NAMESPACE" help:"Namespace of the lease. Inside a pod, its own."`
	LeaseDuration           time.Duration `default:"8s" env:"LEASE_DURATION" help:"How long a lease lasts: after a crash, how long another provider waits. One that is stopped gives the lease back."`
	LeaseRenewDeadline      time.Duration `default:"5s" env:"LEASE_RENEW_DEADLINE" help:"How long a leader tries to renew its lease before it gives up and exits."`

	EnableManagementPolicies bool   `default:"true" negatable:"" env:"ENABLE_MANAGEMENT_POLICIES" help:"Heed spec.managementPolicies."`
	EnableChangelogs         bool   `default:"false" env:"ENABLE_CHANGE_LOGS" help:"Send an entry to the change log for each change of an external resource."`
	ChangelogsSocketPath     string `default:"/var/run/changelogs/changelogs.sock" env:"CHANGELOGS_SOCKET_PATH" help:"The Unix socket on which the change log listens."`

	MetricsBindAddress     string        `default:":8080" env:"METRICS_BIND_ADDRESS" help:"Address of /metrics; 0 turns it off."`
	PageBindAddress        string        `default:"0" env:"PAGE_BIND_ADDRESS" help:"Address of the page of pools, by HTTPS, such as :8443; 0 turns it off."`
	PageCertsDir           string        `name:"page-certs-dir" env:"PAGE_CERTS_DIR,TLS_SERVER_CERTS_DIR" help:"Directory with the page's tls.crt and tls.key. Without them its certificate is self-signed."`
	HealthProbeBindAddress string        `default:":8081" env:"HEALTH_PROBE_BIND_ADDRESS" help:"Address of /healthz and /readyz; 0 turns them off."`
	KEDABindAddress        string        `name:"keda-bind-address" default:":9095" env:"KEDA_BIND_ADDRESS" help:"Address at which KEDA is told how many workers pools should have; 0 turns it off."`
	KEDATLSDir             string        `name:"keda-tls-dir" env:"KEDA_TLS_DIR" help:"Directory with the tls.crt and tls.key to speak TLS with there, and with a ca.crt if KEDA must have a certificate, too. They are read for each connection."`
	ShutdownTimeout        time.Duration `default:"20s" env:"SHUTDOWN_TIMEOUT" help:"How long reconciles under way may take after the provider was told to stop."`
}
