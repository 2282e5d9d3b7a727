package compose

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// ownDomain is that of the labels and annotations which are the pool's own, with all below it.
	ownDomain = "southwest.ai"
	// templateHash is how a Deployment tells its ReplicaSets apart.
	templateHash = "pod-template-hash"
)

// What a worker has or may have of us.
var (
	reservedVolumes = []string{volumeState, volumePodinfo, volumeTmp, volumeModelKey, volumePush, volumeMemory, volumeCheckpoint}

	// Nothing is mounted into these, either.
	closedDirs = []string{monitorapi.PodinfoDir, memoryDir, "/proc", "/sys"}
)

// validatePod finds what is wrong with what a role says of its workers' pods: what Kubernetes, or the "restricted" pod security
// standard, would refuse in each of them, long after the catalog was taken.
func validatePod(p *problems, at string, r *v1beta1.Role, m *v1beta1.Metrics) {
	for i, s := range r.ImagePullSecrets {
		if msgs := validation.IsDNS1123Subdomain(s.Name); len(msgs) > 0 {
			p.add(fmt.Sprintf("%s.imagePullSecrets[%d].name", at, i), "%q cannot name a Secret: %s", s.Name, strings.Join(msgs, ", "))
		}
	}

	for i, e := range r.EnvFrom {
		if (e.SecretRef == nil) == (e.ConfigMapRef == nil) {
			p.add(fmt.Sprintf("%s.envFrom[%d]", at, i), "must have one of secretRef and configMapRef")
		}
	}

	probes := map[string]*corev1.Probe{"startupProbe": r.StartupProbe, "readinessProbe": r.ReadinessProbe, "livenessProbe": r.LivenessProbe}
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		if asksElsewhere(probes[name]) {
			p.add(at+"."+name, "names a host, which pod security forbids: remove it, so that the worker itself is asked")
		}
	}

	validateVolumes(p, at, r)

	if r.PodMetadata == nil {
		return
	}

	validateLabels(p, at+".podMetadata.labels", r.PodMetadata.Labels)
	validateAnnotations(p, at+".podMetadata.annotations", r.PodMetadata.Annotations, scrapes(m))
}

// asksElsewhere says whether a probe asks another host than the pod.
func asksElsewhere(p *corev1.Probe) bool {
	return p != nil && ((p.HTTPGet != nil && p.HTTPGet.Host != "") || (p.TCPSocket != nil && p.TCPSocket.Host != ""))
}

func validateVolumes(p *problems, at string, r *v1beta1.Role) {
	names, paths := map[string]bool{}, map[string]bool{}

	for i := range r.Volumes {
		v := &r.Volumes[i]
		here := fmt.Sprintf("%s.volumes[%d]", at, i)

		if msgs := validation.IsDNS1123Label(v.Name); len(msgs) > 0 {
			p.add(here+".name", "%q cannot name a volume: %s", v.Name, strings.Join(msgs, ", "))
		}

		if slices.Contains(reservedVolumes, v.Name) || names[v.Name] {
			p.add(here+".name", "%q is taken: choose another", v.Name)
		}

		if n := sources(v); n != 1 {
			p.add(here, "has %d sources and must have one: secret, configMap, emptyDir, ephemeral, persistentVolumeClaim, csi or image", n)
		}

		if v.SubPath != "" && (path.IsAbs(v.SubPath) || slices.Contains(strings.Split(v.SubPath, "/"), "..")) {
			p.add(here+".subPath", "%q must be a path in the volume, without ..", v.SubPath)
		}

		clean := path.Clean(v.MountPath)

		switch {
		case !path.IsAbs(v.MountPath) || strings.Contains(v.MountPath, ":") || slices.Contains(reservedPaths, clean) || within(clean, closedDirs...):
			p.add(here+".mountPath", "%q must be an absolute path of its own, such as /etc/agent", v.MountPath)
		case paths[clean]:
			p.add(here+".mountPath", "%q is listed twice", v.MountPath)
		case !r.Stateless && (within(clean, r.StatePath) || within(path.Clean(r.StatePath), clean)):
			p.add(here+".mountPath", "%q and the state's %s lie in one another: choose another, because a checkpoint is of the state alone", v.MountPath, r.StatePath)
		}

		names[v.Name], paths[clean] = true, true
	}
}

// sources counts what a volume is made of.
func sources(v *v1beta1.Volume) int {
	n := 0

	for _, is := range []bool{
		v.Secret != nil, v.ConfigMap != nil, v.EmptyDir != nil, v.Ephemeral != nil, v.PersistentVolumeClaim != nil, v.CSI != nil, v.Image != nil,
	} {
		if is {
			n++
		}
	}

	return n
}

// within says whether a clean path is one of dirs, or lies in one.
func within(clean string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		dir = path.Clean(dir)

		return clean == dir || strings.HasPrefix(clean, dir+"/")
	})
}

func validateLabels(p *problems, at string, labels map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		validateKey(p, at, k)

		if k == templateHash {
			p.add(at, "%q is Kubernetes' own: remove it", k)
		}

		if msgs := validation.IsValidLabelValue(labels[k]); len(msgs) > 0 {
			p.add(at, "%q: %q cannot be a label's value: %s", k, labels[k], strings.Join(msgs, ", "))
		}
	}
}

func validateAnnotations(p *problems, at string, annotations map[string]string, scraped bool) {
	for _, k := range slices.Sorted(maps.Keys(annotations)) {
		// Kubernetes compares what annotations are called without regard to case.
		validateKey(p, at, strings.ToLower(k))

		if _, ours := scrapeAnnotations[k]; ours && scraped {
			p.add(at, "%q is set for every worker, unless monitor.metrics.annotations is false: remove it", k)
		}
	}
}

func validateKey(p *problems, at, key string) {
	if msgs := validation.IsQualifiedName(key); len(msgs) > 0 {
		p.add(at, "%q is no key: %s", key, strings.Join(msgs, ", "))
	}

	if domain, _, ok := strings.Cut(key, "/"); ok && (domain == ownDomain || strings.HasSuffix(domain, "."+ownDomain)) {
		p.add(at, "%q is the pool's own: remove it", key)
	}
}
