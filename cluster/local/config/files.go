package config

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"text/template"
)

//go:embed files/*
var files embed.FS

// Files renders the configuration files: content by path.
func (c Cluster) Files() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, path := range map[string]string{
		"containerd.toml": c.Path("containerd.toml"),
		"kubelet.yaml":    c.Path("kubelet.yaml"),
		"scheduler.yaml":  c.Path("scheduler.yaml"),
		"registry.yaml":   c.Path("registry.yaml"),
		"resolv.conf":     c.Path("resolv.conf"),
		"pods.conflist":   c.Path("cni", "10-pods.conflist"),
		"coredns.yaml":    c.Path("manifests", "coredns.yaml"),
	} {
		b, err := c.render(name)
		if err != nil {
			return nil, err
		}
		out[path] = b
	}
	return out, nil
}

func (c Cluster) render(name string) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return nil, fmt.Errorf("cannot parse the template of %s: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, c.values()); err != nil {
		return nil, fmt.Errorf("cannot render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// values are what the templates may use.
func (c Cluster) values() map[string]any {
	return map[string]any{
		"State": c.State, "Facts": c.Facts, "PKI": string(c.PKI()), "Socket": c.Socket(),
		"Runc": c.Node.Runc(), "CNI": c.Node.CNI(),
		// systemd owns the tree where it is process 1; on a hybrid tree runc can only drive v1 itself.
		"SystemdCgroup":       c.Facts.CgroupV2 && c.Facts.Systemd,
		"SchedulerKubeconfig": c.Kubeconfig("kube-scheduler"),
		"KubeletPort":         kubeletPort, "KubeletHealthPort": kubeletHealthPort, "RegistryPort": registryPort,
		"PodCIDR": PodCIDR, "Network": Network, "DNSService": DNSService, "Domain": domain,
		"PauseImage": PauseImage, "CoreDNSImage": CoreDNSImage,
	}
}

// RenderKubeconfig embeds a certificate and its key, so that the file can be copied.
func (c Cluster) RenderKubeconfig(user string) ([]byte, error) {
	p := c.PKI()
	var encoded [3]string
	for i, path := range []string{p.Cert("ca"), p.Cert(user), p.Key(user)} {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read a credential: %w", err)
		}
		encoded[i] = base64.StdEncoding.EncodeToString(b)
	}
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: aidispatcher-local
contexts:
- name: aidispatcher-local
  context: {cluster: aidispatcher-local, user: %s}
clusters:
- name: aidispatcher-local
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
`, user, Endpoint(), encoded[0], user, encoded[1], encoded[2]), nil
}
