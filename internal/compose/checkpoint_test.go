package compose

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
)

const checkpointClaim = `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: coder, modelRef: gpt-4, replicas: 3, checkpoint: {intervalSeconds: 30}}
`

// Monitors are given the repository once it was there, and keep it whatever becomes of it; the agent is given its own
// directory of the state and none of what the monitor needs.
func TestMonitorsGetTheRepository(t *testing.T) {
	const since = `
apiVersion: agent.southwest.ai/v1alpha1
kind: Checkpoint
metadata: {name: pool, namespace: team-a}
status:
  atProvider: {slots: 3, hibernated: 1, checkpoints: 44, rpoMet: true}
  conditions:
  - {type: Ready, status: "True", reason: Available, lastTransitionTime: "2026-01-02T03:04:05Z"}
  - {type: Synced, status: "True", reason: ReconcileSuccess, lastTransitionTime: "2026-01-02T03:04:05Z"}
`

	without := strings.Replace(checkpointClaim, ", checkpoint: {intervalSeconds: 30}", "", 1)
	back := strings.Replace(checkpointClaim, "namespace: team-a}", `namespace: team-a, annotations: {southwest.ai/restore-from: "2026-01-02T03:04:05Z"}}`, 1)
	plain, wired := parseStruct(t, deploymentYAML), parseStruct(t, deploymentYAML)
	field(wired, "spec").GetStructValue().Fields["template"] = asValue(object{"metadata": object{"labels": object{"southwest.ai/checkpoint": "pool"}}})

	type view struct {
		Label, Restore string
		Told           []string
		Mounts         []string
	}

	volume := "state at /var/lib/southwest.ai/volume"
	off := view{Told: []string{"MONITOR_STATE_VOLUME"}, Mounts: []string{"podinfo at /etc/podinfo", volume}}
	on := view{
		Label:  "pool",
		Told:   []string{"MONITOR_CHECKPOINT_DIR", "MONITOR_CHECKPOINT_INTERVAL", "MONITOR_STATE_VOLUME"},
		Mounts: []string{"checkpoint at /var/run/southwest.ai/checkpoint", "podinfo at /etc/podinfo", volume},
	}
	earlier := on
	earlier.Restore = "2026-01-02T03:04:05Z"

	cases := map[string]struct {
		reason   string
		xr       *structpb.Struct
		observed map[string]*structpb.Struct
		want     view
	}{
		"None":       {reason: "A pool that asks for no checkpoints has none.", xr: parseStruct(t, without), want: off},
		"Ready":      {reason: "The repository is there.", xr: parseStruct(t, checkpointClaim), observed: map[string]*structpb.Struct{resourceCheckpoint: parseStruct(t, since)}, want: on},
		"AskedLater": {reason: "Workers go on without a repository that is not there yet.", xr: parseStruct(t, checkpointClaim), observed: map[string]*structpb.Struct{resourceDeployment: plain}, want: off},
		"Forgotten":  {reason: "A pool whose status was lost keeps its workers as they are.", xr: parseStruct(t, checkpointClaim), observed: map[string]*structpb.Struct{resourceDeployment: wired}, want: on},
		"Removed":    {reason: "A pool that asks for no checkpoints any more loses them.", xr: parseStruct(t, without), observed: map[string]*structpb.Struct{resourceDeployment: wired}, want: off},
		"Earlier":    {reason: "An earlier state is asked for on the workers, which are replaced for it.", xr: parseStruct(t, back), observed: map[string]*structpb.Struct{resourceCheckpoint: parseStruct(t, since)}, want: earlier},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, newFunction(), request(t, tc.xr, tc.observed))
			template := field(rsp.GetDesired().GetResources()[resourceDeployment].GetResource(), "spec", "template").GetStructValue()
			agent := field(template, "spec", "containers").GetListValue().GetValues()[0].GetStructValue()
			monitor := field(template, "spec", "initContainers").GetListValue().GetValues()[1].GetStructValue()
			got := view{
				Label: text(template, "metadata", "labels", "southwest.ai/checkpoint"), Restore: text(template, "metadata", "annotations", "southwest.ai/restore-from"),
				Told: stateEnvOf(monitor), Mounts: mountsOf(monitor),
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff([]string{"state at /var/lib/agent state", "tmp at /tmp"}, mountsOf(agent)); diff != "" || len(stateEnvOf(agent)) > 0 {
				t.Errorf("%s\nthe agent's mounts: -want, +got:\n%s\nand it is told %v", tc.reason, diff, stateEnvOf(agent))
			}

			if v := named(field(template, "spec", "volumes"), "checkpoint"); (tc.want.Label != "") != (text(v, "secret", "secretName") == "pool-checkpoint") {
				t.Errorf("%s\nvolume %v", tc.reason, v)
			}
		})
	}
}

func mountsOf(container *structpb.Struct) []string {
	var out []string
	for _, m := range field(container, "volumeMounts").GetListValue().GetValues() {
		s := m.GetStructValue()
		out = append(out, strings.TrimSpace(text(s, "name")+" at "+text(s, "mountPath")+" "+text(s, "subPath")))
	}

	slices.Sort(out)

	return out
}

func stateEnvOf(container *structpb.Struct) []string {
	names := map[string]bool{}
	for _, e := range field(container, "env").GetListValue().GetValues() {
		if n := text(e.GetStructValue(), "name"); strings.HasPrefix(n, "MONITOR_STATE") || strings.HasPrefix(n, "MONITOR_CHECKPOINT") || strings.HasPrefix(n, "MONITOR_QUIESCE") {
			names[n] = true
		}
	}

	return slices.Sorted(maps.Keys(names))
}

// The repository is asked for as the claim says, and what was seen of it becomes the pool's.
func TestCheckpoint(t *testing.T) {
	claim := strings.Replace(checkpointClaim, "{intervalSeconds: 30}", "{intervalSeconds: 30, quota: 10Gi, onDelete: Delete, retain: {last: 5}}", 1)
	seen := parseStruct(t, `{status: {atProvider: {slots: 3, hibernated: 1, checkpoints: 44, rpoMet: true, newestTime: "2026-01-02T03:04:05Z"}}}`)
	rsp := run(t, newFunction(), request(t, parseStruct(t, claim), map[string]*structpb.Struct{resourceCheckpoint: seen}))

	want := map[string]any{
		"forProvider": map[string]any{
			"pool": "team-a/pool", "intervalSeconds": 30.0, "quota": "10Gi", "onDelete": "Delete", "retain": map[string]any{"last": 5.0},
		},
		"writeConnectionSecretToRef": map[string]any{"name": "pool-checkpoint"},
	}
	if diff := cmp.Diff(want, field(rsp.GetDesired().GetResources()[resourceCheckpoint].GetResource(), "spec").GetStructValue().AsMap()); diff != "" {
		t.Errorf("the repository that is asked for: -want, +got:\n%s", diff)
	}

	// What moves with each save would wake the pool each time.
	status := map[string]any{"ready": false, "slots": 3.0, "hibernated": 1.0, "rpoMet": true}
	if diff := cmp.Diff(status, field(composite(rsp), "status", "checkpoint").GetStructValue().AsMap()); diff != "" {
		t.Errorf("the pool's status: -want, +got:\n%s", diff)
	}
}

// What the role says of its checkpoints is followed.
func TestRoleCheckpoint(t *testing.T) {
	in := exampleCatalog(t)
	role := field(in, "roles").GetListValue().GetValues()[0].GetStructValue()
	role.Fields["checkpoint"] = asValue(object{"quiesce": object{"path": "/quiesce"}, "providerConfigRef": object{"kind": "ProviderConfig", "name": "fast"}})

	req := request(t, parseStruct(t, checkpointClaim), map[string]*structpb.Struct{})
	req.Input = in
	field(req.GetObserved().GetComposite().GetResource(), "spec").GetStructValue().Fields["role"] = role.GetFields()["name"]
	req.Observed.Composite.Resource.Fields["status"] = asValue(object{"checkpoint": object{"firstReadyTime": "2026-01-02T03:04:05Z"}})

	rsp := run(t, newFunction(), req)
	resources := rsp.GetDesired().GetResources()

	if ref := field(resources[resourceCheckpoint].GetResource(), "spec", "providerConfigRef").GetStructValue(); text(ref, "name") != "fast" {
		t.Errorf("the repository's configuration is %v", ref)
	}

	template := field(resources[resourceDeployment].GetResource(), "spec", "template").GetStructValue()
	monitor := field(template, "spec", "initContainers").GetListValue().GetValues()[1].GetStructValue()

	if v := named(field(monitor, "env"), "MONITOR_QUIESCE_URL"); text(v, "value") != "http://127.0.0.1:8080/quiesce" {
		t.Errorf("the quiesce hook is %v", v)
	}

	if v := named(field(monitor, "env"), "MONITOR_QUIESCE_TIMEOUT"); text(v, "value") != "10s" {
		t.Errorf("its deadline is %v", v)
	}
}
