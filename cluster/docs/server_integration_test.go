//go:build integration

package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
)

// fill puts in what the server has.
func fill(text string) string { return Fill(text, "coder-agent-pool", "team-a", "coder-agent-pool-0") }

// needMore says of which kubectl commands an API server alone is not enough. Those are read by kubectl, and not run; the
// end-to-end tests run those of the first pool.
var needMore = []struct{ has, reason string }{
	{"logs", "a container that wrote some"},
	{"--raw", "a pod that answers"},
	{"rollout", "a Deployment's controller"},
	{"wait", "somebody who makes it true"},
	{"exec", "a container"},
	{"port-forward", "a pod"},
	{"pkg.crossplane.io", "Crossplane, with the packages installed"},
	{"providers", "Crossplane, with the packages installed"},
	{"managedresourcedefinitions", "Crossplane, with the packages installed"},
	{"composition", "Crossplane, with the packages installed"},
	{"examples/operations", "Crossplane, with the packages installed"},
	{"https://", "the network"},
	{"operations.ops.crossplane.io", "Crossplane, with the packages installed"},
	{"cronoperation", "Crossplane, with the packages installed"},
	{"watchoperation", "Crossplane, with the packages installed"},
	{"keda", "KEDA's kinds"},
	{"scaledobject", "KEDA's kinds"},
	{"podmonitor", "Prometheus Operator's kinds"},
	{"cluster/observability/deploy", "Prometheus Operator's kinds"},
	{"argocd", "Argo CD's kinds"},
	{"-f root.yaml", "Argo CD's kinds"},
	{"_output/", "what make writes"},
	{"-f -", "what it is given"},
}

// A server is an API server with our definitions.
type server struct {
	client     client.Client
	kubectl    string
	kubeconfig string
	// dir is where commands are run: as in a clone, with the files that a reader has made.
	dir string
}

func serve(t *testing.T) *server {
	t.Helper()

	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS does not name a directory with kube-apiserver, etcd and kubectl: run `make integration`, which builds them")
	}

	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	env := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{CRDs: definitions(t), Paths: definitionsOfOthers(t), ErrorIfPathMissing: true}}

	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})

	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	user, err := env.AddUser(envtest.User{Name: "reader", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}

	b, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}

	k, err := clientcmd.Load(b)
	if err != nil {
		t.Fatal(err)
	}

	for _, x := range k.Contexts {
		x.Namespace = "team-a"
	}

	s := &server{client: c, kubectl: filepath.Join(assets, "kubectl"), dir: t.TempDir()}
	s.kubeconfig = filepath.Join(s.dir, "kubeconfig")

	if err := clientcmd.WriteToFile(*k, s.kubeconfig); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"cluster", "examples", "docs"} {
		abs, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}

		if err := os.Symlink(abs, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.WriteFile(filepath.Join(s.dir, "key"), []byte("00"), 0o600); err != nil {
		t.Fatal(err)
	}

	return s
}

// definitions are those of our kinds, that of the AIDispatcher as Crossplane derives it.
func definitions(t *testing.T) []*extv1.CustomResourceDefinition {
	t.Helper()

	read := func(file string, into any) {
		b, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}

		if err := yaml.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}

	files, err := filepath.Glob(filepath.Join(root, "package/provider/crds/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no definitions: %v", err)
	}

	var out []*extv1.CustomResourceDefinition

	for _, f := range files {
		crd := &extv1.CustomResourceDefinition{}
		read(f, crd)
		out = append(out, crd)
	}

	xrd := &xpextv1.CompositeResourceDefinition{}
	read(filepath.Join(root, "package/configuration/xrd.yaml"), xrd)

	crd, err := xcrd.ForCompositeResource(xrd)
	if err != nil {
		t.Fatal(err)
	}

	crd.SetOwnerReferences(nil) // The definition is not there.

	return append(out, crd)
}

// seed makes what the pages speak of, where a command before has removed it.
func (s *server) seed(t *testing.T) {
	t.Helper()

	pod := "spec: {containers: [{name: agent, image: example.org/agent}]}"
	objects := []string{
		"{apiVersion: v1, kind: Namespace, metadata: {name: NS}}",
		"{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: NS}}",
		"{apiVersion: southwest.ai/v1alpha1, kind: AIDispatcher, metadata: {name: NAME, namespace: NS}, spec: {role: coder, modelRef: gpt-4}}",
		"{apiVersion: agent.southwest.ai/v1alpha1, kind: AgentScaler, metadata: {name: NAME, namespace: NS}, spec: {forProvider: {scaleTargetRef: {name: NAME}, replicas: 1}}}",
		"{apiVersion: agent.southwest.ai/v1alpha1, kind: VectorCollection, metadata: {name: NAME, namespace: NS}, spec: {forProvider: {collection: c, dim: 3}}}",
		"{apiVersion: agent.southwest.ai/v1alpha1, kind: Checkpoint, metadata: {name: NAME, namespace: NS}, spec: {forProvider: {pool: NS/NAME}}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME-slots, namespace: NS}, data: {ledger.json: '{}'}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: NAME-checkpoint-key, namespace: NS}, stringData: {key: '00'}}",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: POD, namespace: NS, labels: {southwest.ai/dispatcher: NAME}, annotations: {southwest.ai/drain: d1, southwest.ai/slot: '0', southwest.ai/epoch: '1'}}\n" + pod,
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME, namespace: NS}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, " + pod + "}}",
		"{apiVersion: v1, kind: Namespace, metadata: {name: crossplane-system}}",
		"{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: crossplane-leader-election-provider-aidispatcher, namespace: crossplane-system}}",
	}

	for _, ns := range []string{"team-a", "team-b"} {
		for _, text := range objects {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(Fill(text, "coder-agent-pool", ns, "coder-agent-pool-0")), &o.Object); err != nil {
				t.Fatal(err)
			}

			if err := s.client.Create(t.Context(), o); err != nil && !kerrors.IsAlreadyExists(err) {
				t.Fatalf("cannot make %s: %v", text, err)
			}
		}
	}
}

func (s *server) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, s.kubectl, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)

	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(b))
	}

	return nil
}

func TestServer(t *testing.T) {
	s := serve(t)

	t.Run("Kubectl", s.testKubectl)
	t.Run("Manifests", s.testManifests)
	t.Run("OthersExamples", s.testOthersExamples)
	t.Run("ChangeLog", s.testChangeLog)
}

// Each kubectl command of the pages is run where an API server is enough, and else read by kubectl.
func (s *server) testKubectl(t *testing.T) {
	done := map[string]bool{}
	ran := 0

	for _, p := range pages(t) {
		for _, c := range kubectlCommands(t, p) {
			line := fill(strings.Join(c.Args, "\x00"))
			if done[line] {
				continue
			}

			done[line] = true
			args := strings.Split(line, "\x00")[1:]

			if c.Piped || slices.ContainsFunc(needMore, func(n struct{ has, reason string }) bool { return strings.Contains(strings.Join(args, " "), n.has) }) {
				// An error of the flags comes before the help, and one of the arguments does not: it is not looked for.
				args = append(args, "--help")
			} else {
				s.seed(t)

				ran++
			}

			// What is to be made is there already.
			if args[0] == "create" && !slices.Contains(args, "--help") {
				args = append(args, "--dry-run=client")
			}

			if err := s.run(t.Context(), args...); err != nil {
				t.Errorf("%s: line %d: %s: %v", p.Path, c.Line, c, err)
			}
		}
	}

	if ran < 20 {
		t.Errorf("only %d of %d commands were run", ran, len(done))
	}
}

// kubectlCommands returns those of a page: in blocks whole, in sentences with what they need to be one.
func kubectlCommands(t *testing.T, p *Page) []Command {
	t.Helper()

	var out []Command

	add := func(line int, text string) {
		all, err := Commands(line, text, given)
		if err != nil {
			t.Errorf("%s: %v", p.Path, err)
		}

		for _, c := range all {
			// The plugin is read by its own grammar.
			if c.Args[0] == "kubectl" && first(c.Args[1:]) != "aidispatch" {
				out = append(out, c)
			}
		}
	}

	for _, b := range p.Blocks {
		if b.Info == shell || b.Info == console {
			for _, s := range b.Steps() {
				add(b.Line, s.Text)
			}
		}
	}

	// In a sentence a command may stand without what it is about: only its flags are read.
	for _, s := range p.Spans {
		if strings.HasPrefix(s.Text, "kubectl ") && !strings.Contains(s.Text, "...") {
			add(s.Line, s.Text+" --help")
		}
	}

	return out
}

// Each manifest of a kind that the API server knows, of ours, of Crossplane's or of others', is accepted by it, with all rules.
func (s *server) testManifests(t *testing.T) {
	s.seed(t)

	scheme := ourScheme(t)
	accepted := map[string]int{}

	for _, m := range manifests(t) {
		gvk := m.gvk()
		if !scheme.Recognizes(gvk) && !s.defined(gvk) {
			continue
		}

		if err := s.accept(t, &unstructured.Unstructured{Object: m.object}); err != nil {
			t.Errorf("%s: line %d: %v", m.page, m.line, err)

			continue
		}

		accepted["all"]++
		accepted[gvk.Group]++
	}

	if accepted["all"] < 20 || accepted["pkg.crossplane.io"] == 0 || accepted["kustomize.toolkit.fluxcd.io"] == 0 || accepted["source.toolkit.fluxcd.io"] == 0 {
		t.Errorf("too few manifests were seen: %v", accepted)
	}
}

// Each query is one to Prometheus' own tool.
func TestPromQL(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("this test needs promtool: apt-get install prometheus")
	}

	var queries []string

	for _, p := range pages(t) {
		for _, b := range p.Blocks {
			if b.Info == promql {
				queries = append(queries, b.Text)
			}
		}
	}

	for _, m := range manifests(t) {
		queries = append(queries, inside(m.object, "query", "tokensQuery", "expr")...)
	}

	if len(queries) == 0 {
		t.Fatal("no query was seen")
	}

	for i, q := range queries {
		b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "docs", "rules": []any{map[string]any{"record": fmt.Sprintf("docs:q%d", i), "expr": q}}}}})
		if err != nil {
			t.Fatal(err)
		}

		file := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}

		out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", file).CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || err != nil {
			t.Errorf("%s: %v: %s", q, err, out)
		}
	}
}

// inside returns the texts that stand under some names anywhere in an object.
func inside(v any, names ...string) []string {
	var out []string

	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if s, ok := x.(string); ok && slices.Contains(names, k) {
				out = append(out, s)
			}

			out = append(out, inside(x, names...)...)
		}
	case []any:
		for _, x := range v {
			out = append(out, inside(x, names...)...)
		}
	}

	return out
}
