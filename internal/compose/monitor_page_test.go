package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
)

// The roles that the monitor's page shows can be copied: each is a catalog's, becomes a pool, and has the monitor look and
// stand where the page says.
func TestRolesOfTheMonitorsPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/monitor.md"))
	if err != nil {
		t.Fatal(err)
	}

	got := map[string]map[string]string{}

	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		y, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(y, "roles:") {
			continue
		}

		roles := parseStruct(t, y).GetFields()["roles"]
		role := roles.GetListValue().GetValues()[0].GetStructValue()

		req := request(t, parseStruct(t, `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: `+text(role, "name")+`, modelRef: gpt-4, replicas: 3}
`), nil)
		req.GetInput().Fields["roles"] = roles

		d := &appsv1.Deployment{}
		decode(t, run(t, newFunction(), req), resourceDeployment, d)

		told := map[string]string{}

		for _, e := range d.Spec.Template.Spec.InitContainers[len(d.Spec.Template.Spec.InitContainers)-1].Env {
			for _, about := range []string{"MONITOR_TASKS_", "MONITOR_INBOUND_", "MONITOR_DRAIN_"} {
				if strings.HasPrefix(e.Name, about) {
					told[strings.TrimPrefix(e.Name, "MONITOR_")] = e.Value
				}
			}
		}

		got[text(role, "image")] = told
	}

	want := map[string]map[string]string{
		"registry.example.org/agents/coder-a2a:v7": {
			"TASKS_SOURCE": "a2a", "TASKS_URL": "http://127.0.0.1:8080", "INBOUND_UPSTREAM": "http://127.0.0.1:8080", "INBOUND_PROTOCOL": "a2a",
		},
		"registry.example.org/agents/planner-langgraph:v3": {
			"TASKS_SOURCE": "langgraph", "TASKS_URL": "http://127.0.0.1:8000/metrics", "INBOUND_UPSTREAM": "http://127.0.0.1:8000",
			"INBOUND_PROTOCOL": "http", "DRAIN_TIMEOUT": "900s",
		},
		"registry.example.org/agents/reviewer-http:v2": {
			"TASKS_SOURCE": "inbound", "INBOUND_UPSTREAM": "http://127.0.0.1:8000", "INBOUND_PROTOCOL": "http",
		},
		"registry.example.org/agents/reviewer-worker:v5": {
			"TASKS_SOURCE": "prometheus", "TASKS_URL": "http://127.0.0.1:9100/metrics",
			"TASKS_QUEUE_DEPTH": "sum:jobs_fetched + sum:jobs_running", "TASKS_IN_FLIGHT": "sum:jobs_running",
			"DRAIN_TIMEOUT": "3600s", "DRAIN_HOOK_URL": "http://127.0.0.1:9100/pause", "DRAIN_HOOK_TIMEOUT": "5s",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
