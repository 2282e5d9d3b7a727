package config

import (
	"github.com/southwest-ai/agent-operator/cluster/local/proc"
)

// flag is one argument. Spelled so, command lines read like tables.
func flag(name, value string) string { return "--" + name + "=" + value }

// kube is a Spec of one of the programs in the multi-call binary.
func (c Cluster) kube(name string, inputs []string, args ...string) proc.Spec {
	return proc.Spec{Name: name, Path: c.Bin("kubernetes"), Argv0: name, Args: args, Inputs: inputs}
}

// ControlPlane lists the processes in the order to start them.
func (c Cluster) ControlPlane() []proc.Spec {
	return []proc.Spec{c.etcd(), c.apiServer(), c.controllerManager(), c.scheduler()}
}

// NodeAgents lists the processes of the node, but for containerd.
func (c Cluster) NodeAgents() []proc.Spec {
	return []proc.Spec{c.kubelet(), c.kubeProxy()}
}

func (c Cluster) etcd() proc.Spec {
	p, client, peer := c.PKI(), "https://127.0.0.1:"+etcdPort, "https://127.0.0.1:"+etcdPeerPort
	return c.kube("etcd", []string{p.Cert("etcd"), p.Cert("etcd-ca")},
		flag("name", "local"),
		flag("data-dir", c.Path("etcd")),
		flag("listen-client-urls", client),
		flag("advertise-client-urls", client),
		flag("listen-peer-urls", peer),
		flag("initial-advertise-peer-urls", peer),
		flag("initial-cluster", "local="+peer),
		flag("client-cert-auth", "true"),
		flag("cert-file", p.Cert("etcd")),
		flag("key-file", p.Key("etcd")),
		flag("trusted-ca-file", p.Cert("etcd-ca")),
		flag("peer-client-cert-auth", "true"),
		flag("peer-cert-file", p.Cert("etcd")),
		flag("peer-key-file", p.Key("etcd")),
		flag("peer-trusted-ca-file", p.Cert("etcd-ca")),
		// A cluster for tests may lose its last writes with the machine's power; it gains much speed.
		flag("unsafe-no-fsync", "true"),
		flag("logger", "zap"),
		flag("log-level", "warn"),
	)
}

func (c Cluster) apiServer() proc.Spec {
	p := c.PKI()
	inputs := []string{
		p.Cert("ca"), p.Cert("kube-apiserver"), p.Cert("kubelet-client"), p.Cert("etcd"), p.Cert("front-proxy"),
		p.Key("service-accounts"),
	}
	return c.kube("kube-apiserver", inputs,
		flag("secure-port", apiPort),
		flag("advertise-address", c.Facts.NodeIP.String()),
		flag("service-cluster-ip-range", ServiceCIDR),
		flag("allow-privileged", "true"),
		flag("authorization-mode", "Node,RBAC"),
		flag("enable-admission-plugins", "NodeRestriction"),
		flag("client-ca-file", p.Cert("ca")),
		flag("tls-cert-file", p.Cert("kube-apiserver")),
		flag("tls-private-key-file", p.Key("kube-apiserver")),
		flag("etcd-servers", "https://127.0.0.1:"+etcdPort),
		flag("etcd-cafile", p.Cert("etcd-ca")),
		flag("etcd-certfile", p.Cert("etcd")),
		flag("etcd-keyfile", p.Key("etcd")),
		flag("kubelet-certificate-authority", p.Cert("ca")),
		flag("kubelet-client-certificate", p.Cert("kubelet-client")),
		flag("kubelet-client-key", p.Key("kubelet-client")),
		flag("kubelet-preferred-address-types", "InternalIP"),
		flag("service-account-issuer", "https://kubernetes.default.svc."+domain),
		flag("service-account-key-file", string(p)+"/service-accounts.pub"),
		flag("service-account-signing-key-file", p.Key("service-accounts")),
		flag("requestheader-client-ca-file", p.Cert("front-proxy-ca")),
		flag("requestheader-allowed-names", "front-proxy"),
		flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
		flag("requestheader-group-headers", "X-Remote-Group"),
		flag("requestheader-username-headers", "X-Remote-User"),
		flag("proxy-client-cert-file", p.Cert("front-proxy")),
		flag("proxy-client-key-file", p.Key("front-proxy")),
	)
}

func (c Cluster) controllerManager() proc.Spec {
	p, kubeconfig := c.PKI(), c.Kubeconfig("kube-controller-manager")
	return c.kube("kube-controller-manager", []string{kubeconfig, p.Cert("ca"), p.Key("service-accounts")},
		flag("kubeconfig", kubeconfig),
		flag("authentication-kubeconfig", kubeconfig),
		flag("authorization-kubeconfig", kubeconfig),
		flag("bind-address", "127.0.0.1"),
		flag("secure-port", controllerPort),
		flag("leader-elect", "false"),
		flag("allocate-node-cidrs", "false"),
		flag("root-ca-file", p.Cert("ca")),
		flag("cluster-signing-cert-file", p.Cert("ca")),
		flag("cluster-signing-key-file", p.Key("ca")),
		flag("service-account-private-key-file", p.Key("service-accounts")),
		flag("use-service-account-credentials", "true"),
		flag("flex-volume-plugin-dir", c.Path("kubelet-volume-plugins")),
		flag("kube-api-qps", "200"),
		flag("kube-api-burst", "400"),
		flag("concurrent-replicaset-syncs", "20"),
		flag("concurrent-namespace-syncs", "20"),
		flag("concurrent-gc-syncs", "30"),
	)
}

func (c Cluster) scheduler() proc.Spec {
	kubeconfig, file := c.Kubeconfig("kube-scheduler"), c.Path("scheduler.yaml")
	return c.kube("kube-scheduler", []string{kubeconfig, file},
		flag("config", file),
		flag("authentication-kubeconfig", kubeconfig),
		flag("authorization-kubeconfig", kubeconfig),
		flag("bind-address", "127.0.0.1"),
		flag("secure-port", schedulerPort),
	)
}

func (c Cluster) kubelet() proc.Spec {
	p, kubeconfig, file := c.PKI(), c.Kubeconfig("kubelet"), c.Path("kubelet.yaml")
	s := c.kube("kubelet", []string{kubeconfig, file, p.Cert("ca"), p.Cert("kubelet-server"), c.Path("resolv.conf")},
		flag("config", file),
		flag("kubeconfig", kubeconfig),
		flag("root-dir", c.Path("kubelet")),
		flag("cert-dir", c.Path("kubelet", "pki")),
		flag("hostname-override", nodeName),
		flag("node-ip", c.Facts.NodeIP.String()),
	)
	s.Env = []string{"PATH=" + c.Node.Path()}
	return s
}

func (c Cluster) kubeProxy() proc.Spec {
	kubeconfig := c.Kubeconfig("kube-proxy")
	return c.kube("kube-proxy", []string{kubeconfig},
		flag("kubeconfig", kubeconfig),
		flag("hostname-override", nodeName),
		flag("proxy-mode", "iptables"),
		flag("cluster-cidr", PodCIDR),
		flag("healthz-bind-address", "127.0.0.1:"+proxyHealthPort),
		flag("metrics-bind-address", "127.0.0.1:"+proxyMetricsPort),
		flag("iptables-min-sync-period", "100ms"),
		// The machine's connection tracking is the machine's business, and in a VM often read-only.
		flag("conntrack-max-per-core", "0"),
		flag("conntrack-tcp-timeout-established", "0s"),
		flag("conntrack-tcp-timeout-close-wait", "0s"),
	)
}
