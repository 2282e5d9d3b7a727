// Package config renders the command lines and files of a one-node Kubernetes cluster; it runs and writes nothing.
package config

import (
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/southwest-ai/agent-operator/cluster/local/host"
	"github.com/southwest-ai/agent-operator/cluster/local/pki"
	"github.com/southwest-ai/agent-operator/cluster/local/proc"
)

// Ports are unusual on purpose: a kind, k3s or kubeadm cluster on the same machine has the usual ones.
const (
	apiPort           = "26443"
	etcdPort          = "22379"
	etcdPeerPort      = "22380"
	controllerPort    = "20257"
	schedulerPort     = "20259"
	kubeletPort       = "20250"
	kubeletHealthPort = "20248"
	proxyHealthPort   = "20256"
	proxyMetricsPort  = "20249"
	registryPort      = "5001"
)

// Ports of Crossplane core, which runs in the host's network.
const (
	CrossplaneWebhookPort   = 29443
	CrossplaneMetricsPort   = 28080
	CrossplaneReadinessPort = 28081
)

// Registry is the loopback registry, as images name it: by address, as Crossplane takes no host name without a dot. Both
// containerd and Crossplane speak plain HTTP to loopback addresses.
const Registry = "127.0.0.1:" + registryPort

// Networks of the cluster. One node needs no split of the pods' network.
const (
	PodCIDR     = "10.244.0.0/16"
	ServiceCIDR = "10.96.0.0/16"
	apiService  = "10.96.0.1"
	DNSService  = "10.96.0.10"
	nodeName    = "aidispatcher-local"
	domain      = "cluster.local"
	// Network is the name of the pods' network in CNI.
	Network = "aidispatcher-local"
)

// Images that the node and the cluster's own pods run.
const (
	PauseImage      = Registry + "/local/pause:v1"
	CoreDNSImage    = Registry + "/local/coredns:v1.15.0"
	CrossplaneRepo  = Registry + "/crossplane/crossplane"
	CrossplaneTag   = "v2.4.0"
	CrossplaneImage = CrossplaneRepo + ":" + CrossplaneTag
)

// A Cluster is what everything below is rendered from.
type Cluster struct {
	State string                   // directory of everything that the cluster writes
	Bin   func(name string) string // where a program is
	Node  host.Node
	Facts host.Facts
}

// Endpoint is the URL of the API server, for programs on this machine.
func Endpoint() string { return "https://127.0.0.1:" + apiPort }

// Path is a path below the state directory.
func (c Cluster) Path(elem ...string) string {
	return filepath.Join(append([]string{c.State}, elem...)...)
}

// Kubeconfig is the path of a component's credentials.
func (c Cluster) Kubeconfig(name string) string { return c.Path("kubeconfig", name+".yaml") }

// AdminKubeconfig is the path of the credentials that people use.
func (c Cluster) AdminKubeconfig() string { return c.Path("kubeconfig.yaml") }

// Socket is containerd's.
func (c Cluster) Socket() string { return c.Path("run", "containerd.sock") }

// PKI is the directory of the certificates.
func (c Cluster) PKI() pki.Dir { return pki.Dir(c.Path("pki")) }

// EnsureCertificates makes or renews all certificates and keys.
func (c Cluster) EnsureCertificates(now time.Time) error {
	for authority, leaves := range c.leaves() {
		a, err := c.PKI().EnsureAuthority(authority, now)
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if err := a.Ensure(l, now); err != nil {
				return err
			}
		}
	}
	return c.PKI().EnsureKeyPair("service-accounts")
}

// leaves by the authority that signs them. etcd's is apart, as whoever holds one of its certificates can read every
// Secret; so is that of the aggregation layer, as whoever holds one of those can be any user.
func (c Cluster) leaves() map[string][]pki.Leaf {
	loopback, node := net.IPv4(127, 0, 0, 1).To4(), c.Facts.NodeIP
	client := func(name, user string, groups ...string) pki.Leaf {
		return pki.Leaf{Name: name, CommonName: user, Organizations: groups}
	}
	return map[string][]pki.Leaf{
		"etcd-ca":        {{Name: "etcd", CommonName: "etcd", DNSNames: []string{"localhost"}, IPs: []net.IP{loopback}}},
		"front-proxy-ca": {client("front-proxy", "front-proxy")},
		"ca": {
			{
				Name: "kube-apiserver", CommonName: "kube-apiserver",
				DNSNames: []string{
					"kubernetes", "kubernetes.default", "kubernetes.default.svc",
					"kubernetes.default.svc." + domain, "localhost", nodeName,
				},
				IPs: []net.IP{net.ParseIP(apiService).To4(), loopback, node},
			},
			{Name: "kubelet-server", CommonName: nodeName, DNSNames: []string{nodeName}, IPs: []net.IP{node}},
			client("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
			client("admin", "admin", "system:masters"),
			client("kube-controller-manager", "system:kube-controller-manager"),
			client("kube-scheduler", "system:kube-scheduler"),
			client("kubelet", "system:node:"+nodeName, "system:nodes"),
			client("kube-proxy", "system:kube-proxy"),
		},
	}
}

// Kubeconfigs are the users of kubeconfig files: path by the name of the certificate in it.
func (c Cluster) Kubeconfigs() map[string]string {
	files := map[string]string{"admin": c.AdminKubeconfig()}
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		files[name] = c.Kubeconfig(name)
	}
	return files
}

// Registry runs first: the node pulls everything from it.
func (c Cluster) Registry() proc.Spec {
	return proc.Spec{
		Name: "registry", Path: c.Bin("registry"), Args: []string{"serve", c.Path("registry.yaml")},
		Env:    []string{"OTEL_TRACES_EXPORTER=none"},
		Inputs: []string{c.Path("registry.yaml")},
	}
}

// Containerd is this cluster's own: its socket, state and programs are nobody else's.
func (c Cluster) Containerd() proc.Spec {
	return proc.Spec{
		Name: "containerd", Path: c.Node.Containerd(), Args: []string{"--config", c.Path("containerd.toml")},
		Env:    []string{"PATH=" + c.Node.Path()},
		Inputs: []string{c.Path("containerd.toml")},
	}
}

// A Port is a TCP address that the cluster listens on. Owner is the process that does, empty for a pod.
type Port struct{ Address, Owner string }

// Ports lists them all.
func (c Cluster) Ports() []Port {
	local := func(port string) string { return "127.0.0.1:" + port }
	return []Port{
		{local(registryPort), "registry"},
		{local(etcdPort), "etcd"},
		{local(etcdPeerPort), "etcd"},
		{":" + apiPort, "kube-apiserver"},
		{local(controllerPort), "kube-controller-manager"},
		{local(schedulerPort), "kube-scheduler"},
		{c.Facts.NodeIP.String() + ":" + kubeletPort, "kubelet"},
		{local(kubeletHealthPort), "kubelet"},
		{local(proxyHealthPort), "kube-proxy"},
		{local(proxyMetricsPort), "kube-proxy"},
		{fmt.Sprintf(":%d", CrossplaneWebhookPort), ""},
		{fmt.Sprintf(":%d", CrossplaneMetricsPort), ""},
		{fmt.Sprintf(":%d", CrossplaneReadinessPort), ""},
	}
}
