//go:build integration

package dashboard

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/southwest-ai/agent-operator/internal/cli"
)

// testCommands: what the page shows is what a person is told who asks by kubectl, with the same rights.
func testCommands(t *testing.T, token string) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("KUBEBUILDER_ASSETS")+":"+os.Getenv("PATH"))

	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: apiserver.Host, CertificateAuthorityData: apiserver.CAData}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: token}
	c.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u", Namespace: "team-a"}
	c.CurrentContext = "c"

	config := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*c, config); err != nil {
		t.Fatal(err)
	}

	var out, said bytes.Buffer

	to := &cli.Output{Out: &out, Err: &said, Now: time.Now}
	top := &cli.TopCmd{Cluster: cli.Cluster{Kubeconfig: config}}

	if err := top.Run(t.Context(), to); err != nil || !strings.Contains(out.String(), "coder-agent-pool") || strings.Contains(out.String(), "planner-pool") {
		t.Errorf("top, error %v:\n%s%s", err, &out, &said)
	}

	top.AllNamespaces = true
	if err := top.Run(t.Context(), to); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("top of all namespaces is not refused: %v", err)
	}

	out.Reset()

	err := (&cli.TraceCmd{Cluster: cli.Cluster{Kubeconfig: config}, Pool: "ad/coder-agent-pool"}).Run(t.Context(), to)
	if !errors.Is(err, cli.ErrWrong) {
		t.Errorf("trace, error %v", err)
	}

	for _, want := range []string{
		"AIDispatcher team-a/coder-agent-pool  WRONG  Processing, ScalingIn", "Pod coder-agent-pool-59f688ff44-6h292", "waits for a slot",
		"WorkersAvailable is False (SomeUnavailable): not all workers are available", "agentscalers.agent.southwest.ai ?: cannot be read: kubectl says: Error from server (Forbidden)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("trace does not say %q:\n%s", want, &out)
		}
	}
}
