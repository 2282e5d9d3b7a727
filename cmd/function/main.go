// Command function serves compositions and Operations to Crossplane. It only wires.
package main

import (
	"time"

	"github.com/alecthomas/kong"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/function-sdk-go"

	"github.com/southwest-ai/agent-operator/internal/compose"
	"github.com/southwest-ai/agent-operator/internal/operate"
)

// CLI of the function, in the words of Crossplane's other functions.
type CLI struct {
	Debug bool `help:"Emit debug logs in addition to info logs." short:"d"`

	Network            string `default:"tcp"   help:"Network on which to listen for gRPC connections."`
	Address            string `default:":9443" help:"Address at which to listen for gRPC connections."`
	TLSCertsDir        string `env:"TLS_SERVER_CERTS_DIR" help:"Directory containing server certs (tls.key, tls.crt) and the CA used to verify client certificates (ca.crt)."`
	Insecure           bool   `help:"Run without mTLS credentials. If you supply this flag --tls-certs-dir will be ignored."`
	MaxRecvMessageSize int    `default:"4" help:"Maximum size of received messages in MB."`
	MetricsAddress     string `default:":8080" help:"Address at which to serve metrics. Empty serves none."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// version is stamped by the build.
var version = "dev"

// Run serves until the process is told to stop.
func (c *CLI) Run() error {
	log, err := function.NewLogger(c.Debug)
	if err != nil {
		return err
	}

	return function.Serve(newFunction(log),
		function.Listen(c.Network, c.Address),
		function.MTLSCertificates(c.TLSCertsDir),
		function.Insecure(c.Insecure),
		function.MaxRecvMessageSize(c.MaxRecvMessageSize*1024*1024),
		function.WithMetricsServer(c.MetricsAddress))
}

func newFunction(log logging.Logger) *operate.Function {
	return &operate.Function{Compose: &compose.Function{Log: log}, Now: time.Now}
}

func main() {
	ctx := kong.Parse(&CLI{}, kong.Description("AIDispatcher's composition function."), kong.Vars{"version": version})
	ctx.FatalIfErrorf(ctx.Run())
}
