package config

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/cluster/local/host"
)

func testCluster(t *testing.T, f host.Facts) Cluster {
	t.Helper()
	f.NodeIP, f.MTU = net.IPv4(192, 0, 2, 7).To4(), 1400
	return Cluster{
		State: t.TempDir(), Node: "/cache/node", Facts: f,
		Bin: func(name string) string { return "/cache/bin/" + name },
	}
}

func TestFilesFollowTheMachine(t *testing.T) {
	type want struct {
		driver           string
		runcUsesSystemd  bool
		restrictOOMScore bool
		forwards         bool
	}
	cases := map[string]struct {
		reason string
		facts  host.Facts
		want   want
	}{
		"OrdinaryDebian": {
			reason: "On cgroup v2, systemd owns the tree and must be asked.",
			facts:  host.Facts{CgroupV2: true, Systemd: true, CanLowerOOMScore: true, Nameservers: []string{"192.0.2.53"}},
			want:   want{driver: "systemd", runcUsesSystemd: true, forwards: true},
		},
		"HybridVM": {
			reason: "On a hybrid tree runc drives cgroup v1 itself, whoever is process 1.",
			facts:  host.Facts{Systemd: true, Nameservers: []string{"192.0.2.53"}},
			want:   want{driver: "cgroupfs", restrictOOMScore: true, forwards: true},
		},
		"NoSystemd": {
			reason: "There is nobody to ask.",
			facts:  host.Facts{CgroupV2: true, CanLowerOOMScore: true, Nameservers: []string{"192.0.2.53"}},
			want:   want{driver: "cgroupfs", forwards: true},
		},
		"NoNameserver": {
			reason: "CoreDNS does not start if it is to forward to nobody.",
			facts:  host.Facts{CgroupV2: true, CanLowerOOMScore: true},
			want:   want{driver: "cgroupfs"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, tc.facts)
			files, err := c.Files()
			if err != nil {
				t.Fatal(err)
			}
			var kubelet struct {
				CgroupDriver string `json:"cgroupDriver"`
			}
			if err := yaml.Unmarshal(files[c.Path("kubelet.yaml")], &kubelet); err != nil {
				t.Fatal(err)
			}
			toml := string(files[c.Path("containerd.toml")])
			got := want{
				driver:           kubelet.CgroupDriver,
				runcUsesSystemd:  strings.Contains(toml, "SystemdCgroup = true"),
				restrictOOMScore: strings.Contains(toml, "restrict_oom_score_adj = true"),
				forwards:         strings.Contains(string(files[c.Path("manifests", "coredns.yaml")]), "forward ."),
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("\n%s\nFiles(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFilesAreWellFormed(t *testing.T) {
	c := testCluster(t, host.Facts{Nameservers: []string{"192.0.2.53", "192.0.2.54"}})
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		var into any
		switch filepath.Ext(path) {
		case ".yaml":
			for doc := range strings.SplitSeq(string(content), "\n---\n") {
				if err := yaml.UnmarshalStrict([]byte(doc), &into); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		case ".conflist":
			if err := json.Unmarshal(content, &into); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		if strings.Contains(string(content), "<no value>") {
			t.Errorf("%s: a placeholder has no value:\n%s", path, content)
		}
	}
	want := "nameserver 192.0.2.53\nnameserver 192.0.2.54\n"
	if diff := cmp.Diff(want, string(files[c.Path("resolv.conf")])); diff != "" {
		t.Errorf("resolv.conf: -want, +got:\n%s", diff)
	}
}

// Whatever a process reads at its start is either made by this package or a reason for a restart that never comes.
func TestInputsAreMade(t *testing.T) {
	c := testCluster(t, host.Facts{})
	if err := c.EnsureCertificates(time.Now()); err != nil {
		t.Fatal(err)
	}
	files, err := c.Files()
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for path := range files {
		made[path] = true
	}
	for user, path := range c.Kubeconfigs() {
		made[path] = true
		b, err := c.RenderKubeconfig(user)
		if err != nil {
			t.Fatal(err)
		}
		var into map[string]any
		if err := yaml.UnmarshalStrict(b, &into); err != nil {
			t.Errorf("kubeconfig of %s: %v", user, err)
		}
	}
	pems, err := filepath.Glob(string(c.PKI()) + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pems {
		made[path] = true
	}
	specs := append(append(c.ControlPlane(), c.NodeAgents()...), c.Registry(), c.Containerd())
	for _, s := range specs {
		for _, in := range s.Inputs {
			if !made[in] {
				t.Errorf("%s reads %s, which nothing makes", s.Name, in)
			}
		}
		for _, arg := range s.Args {
			_, value, _ := strings.Cut(arg, "=")
			if ext := filepath.Ext(value); (ext == ".crt" || ext == ".key" || ext == ".pub" || ext == ".yaml") && !made[value] {
				t.Errorf("%s is given %s, which nothing makes", s.Name, arg)
			}
		}
	}
}

func TestPortsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range testCluster(t, host.Facts{}).Ports() {
		_, port, err := net.SplitHostPort(p.Address)
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Errorf("port %s is used twice", port)
		}
		seen[port] = true
	}
}
