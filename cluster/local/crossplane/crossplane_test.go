package crossplane

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// source is skipped over where the module is not on the machine: unit tests need no network.
func source(t *testing.T) Source {
	t.Helper()
	wrapper, err := filepath.Abs("../../third_party/crossplane")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "off")
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain")
	}
	s, err := FindSource(context.Background(), wrapper)
	if err != nil {
		t.Skipf("Crossplane's module has not been downloaded: %v", err)
	}
	return s
}

// object is what the test looks at in a manifest.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Template struct {
			Spec struct {
				HostNetwork bool   `json:"hostNetwork"`
				DNSPolicy   string `json:"dnsPolicy"`
				Containers  []struct {
					Image string `json:"image"`
					Ports []struct {
						Name          string `json:"name"`
						ContainerPort int    `json:"containerPort"`
					} `json:"ports"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

func TestManifests(t *testing.T) {
	b, err := source(t).Manifests("127.0.0.1:5001/crossplane/crossplane", "v9.9.9", Ports{Webhooks: 1443, Metrics: 1080, Readiness: 1081})
	if err != nil {
		t.Fatal(err)
	}
	type deployment struct {
		Image       string
		HostNetwork bool
		DNSPolicy   string
		Ports       map[string]int
	}
	got := map[string]deployment{}
	kinds := map[string]int{}
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		kinds[o.Kind]++
		if o.Kind != "Deployment" {
			continue
		}
		pod := o.Spec.Template.Spec
		d := deployment{Image: pod.Containers[0].Image, HostNetwork: pod.HostNetwork, DNSPolicy: pod.DNSPolicy, Ports: map[string]int{}}
		for _, p := range pod.Containers[0].Ports {
			d.Ports[p.Name] = p.ContainerPort
		}
		got[o.Metadata.Name] = d
	}
	const image = "127.0.0.1:5001/crossplane/crossplane:v9.9.9"
	want := map[string]deployment{
		"crossplane": {
			Image: image, HostNetwork: true, DNSPolicy: "ClusterFirstWithHostNet",
			Ports: map[string]int{"readyz": 1081, "metrics": 1080, "webhooks": 1443},
		},
		"crossplane-rbac-manager": {Image: image, Ports: map[string]int{"metrics": 8080}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Manifests(...): -want Deployments, +got:\n%s", diff)
	}
	for _, kind := range []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "Service"} {
		if kinds[kind] == 0 {
			t.Errorf("Manifests(...): there is no %s", kind)
		}
	}
}
