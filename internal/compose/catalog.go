package compose

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	kjson "sigs.k8s.io/json"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// The defaults of a catalog.
const (
	defaultStatePath   = "/var/lib/agent"
	defaultGracePeriod = 300
	defaultUser        = 65532
)

// A Catalog is a decoded, defaulted and validated v1beta1.Catalog, ready to be composed from.
type Catalog struct {
	monitor v1beta1.Monitor
	// The sidecar's resources as the composed object holds them.
	monitorResources *structpb.Value
	roles            map[string]*role
	models           map[string]*v1beta1.Model
	keda             v1beta1.KEDA
}

// A role with those of its fields that go into a pod as they stand, converted once and not at each call.
type role struct {
	v1beta1.Role

	fragments map[string]*structpb.Value
	env       list
	// Its volumes, and where its agents mount them.
	vols, mounts list
	// How the collections of its pools are made.
	tuning map[string]*structpb.Value
}

// role returns a role, or a refusal that says what there is.
func (c *Catalog) role(name v1alpha1.Role) (*role, error) {
	if r, ok := c.roles[string(name)]; ok {
		return r, nil
	}

	return nil, refuse(v1alpha1.ReasonUnknownRole, "role %q is not in the platform's catalog, which has %s: choose one of these or ask the platform team to add it", name, known(c.roles))
}

// model returns a model, or a refusal that says what there is.
func (c *Catalog) model(name string) (*v1beta1.Model, error) {
	if m, ok := c.models[name]; ok {
		return m, nil
	}

	return nil, refuse(v1alpha1.ReasonUnknownModel, "model %q is not in the platform's catalog, which has %s: choose one of these, ask the platform team to add it, or set spec.modelEndpoint", name, known(c.models))
}

func known[K ~string, T any](m map[K]T) string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, string(n))
	}

	slices.Sort(names)

	if len(names) == 0 {
		return "none"
	}

	return strings.Join(names, ", ")
}

// A catalogCache keeps the catalog of the last call decoded. Most platforms have one Composition, so one is enough;
// with more the cost is a decoding, never a wrong catalog, because the whole input is compared.
type catalogCache struct {
	last atomic.Pointer[cachedCatalog]
}

type cachedCatalog struct {
	input   *structpb.Struct
	catalog *Catalog
}

// get returns the catalog that an input holds.
func (c *catalogCache) get(input *structpb.Struct) (*Catalog, error) {
	if l := c.last.Load(); l != nil && proto.Equal(l.input, input) {
		return l.catalog, nil
	}

	cat, err := ParseCatalog(input)
	if err != nil {
		return nil, err
	}

	c.last.Store(&cachedCatalog{input: input, catalog: cat})

	return cat, nil
}

// ParseCatalog decodes a catalog strictly, sets its defaults and validates it. Its errors name the field.
func ParseCatalog(input *structpb.Struct) (*Catalog, error) {
	if input == nil {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "the Composition's step has no input: give it a Catalog (%s)", v1beta1.GroupVersion)
	}

	if kind, av := text(input, "kind"), text(input, "apiVersion"); kind != v1beta1.CatalogKind || av != v1beta1.GroupVersion.String() {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "the Composition's input is a %s %s and must be a %s %s", av, kind, v1beta1.GroupVersion, v1beta1.CatalogKind)
	}

	b, err := input.MarshalJSON()
	if err != nil {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "cannot read the catalog: %s", err)
	}

	in := &v1beta1.Catalog{}

	strict, err := kjson.UnmarshalStrict(b, in)
	if err != nil {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "cannot read the catalog: %s", err)
	}

	if len(strict) > 0 {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "cannot use the catalog: %s: check the spelling", errors.Join(strict...))
	}

	defaultCatalog(in)

	if problems := validateCatalog(in); len(problems) > 0 {
		return nil, refuse(v1alpha1.ReasonInvalidCatalog, "cannot use the catalog: %s", strings.Join(problems, "; "))
	}

	return compileCatalog(in, input), nil
}

func defaultCatalog(c *v1beta1.Catalog) {
	defaultKEDA(c)

	for i := range c.Roles {
		r := &c.Roles[i]

		if r.StatePath == "" {
			r.StatePath = defaultStatePath
		}

		if r.TerminationGracePeriodSeconds == nil {
			r.TerminationGracePeriodSeconds = new(int64(defaultGracePeriod))
		}

		if r.RunAsUser == nil {
			r.RunAsUser = new(int64(defaultUser))
		}

		if r.Inbound != nil && r.Inbound.Protocol == "" {
			r.Inbound.Protocol = v1beta1.InboundHTTP
		}

		defaultTasks(r.Tasks)

		if d := r.Drain; d != nil && d.Hook != nil && d.Hook.TimeoutSeconds == nil {
			d.Hook.TimeoutSeconds = new(int64(defaultHookSeconds))
		}

		if c := r.Checkpoint; c != nil && c.Quiesce != nil && c.Quiesce.TimeoutSeconds == nil {
			c.Quiesce.TimeoutSeconds = new(int64(defaultQuiesceSeconds))
		}

		for j := range r.Ports {
			if r.Ports[j].ServicePort == 0 {
				r.Ports[j].ServicePort = r.Ports[j].ContainerPort
			}
		}
	}

	for i := range c.Models {
		m := &c.Models[i]

		if m.Protocol == "" {
			m.Protocol = v1beta1.ProtocolOpenAI
		}

		if m.Model == "" {
			m.Model = m.Name
		}

		if m.Metering == "" {
			m.Metering = v1beta1.MeteringProxy
		}
	}
}

func defaultKEDA(c *v1beta1.Catalog) {
	if c.KEDA == nil {
		c.KEDA = &v1beta1.KEDA{}
	}

	refs := []*v1beta1.KEDAAuthenticationRef{c.KEDA.Scaler.AuthenticationRef}
	if c.KEDA.Prometheus != nil {
		refs = append(refs, c.KEDA.Prometheus.AuthenticationRef)
	}

	for _, r := range refs {
		if r != nil && r.Kind == "" {
			r.Kind = "ClusterTriggerAuthentication"
		}
	}
}

func defaultTasks(t *v1beta1.Tasks) {
	if t != nil && t.Path == "" && (t.Source == v1beta1.TasksPrometheus || t.Source == v1beta1.TasksLangGraph) {
		t.Path = "/metrics"
	}
}

// The fields of a role that go into a pod as the platform team wrote them.
var fragmentFields = []string{
	"imagePullSecrets", "command", "args", "envFrom", "resources", "startupProbe", "readinessProbe", "livenessProbe",
	"nodeSelector", "tolerations", "affinity", "topologySpreadConstraints",
}

// compileCatalog keeps beside each role what the platform team wrote, not what the typed field would encode to: typed
// objects leak zero values, and what is emitted is owned.
func compileCatalog(in *v1beta1.Catalog, input *structpb.Struct) *Catalog {
	out := &Catalog{
		monitor:          in.Monitor,
		monitorResources: field(input, "monitor", "resources"),
		roles:            make(map[string]*role, len(in.Roles)),
		models:           make(map[string]*v1beta1.Model, len(in.Models)),
		keda:             *in.KEDA,
	}

	raw := field(input, "roles").GetListValue().GetValues()
	for i := range in.Roles {
		r := &role{Role: in.Roles[i], fragments: make(map[string]*structpb.Value, len(fragmentFields))}

		for _, f := range fragmentFields {
			if v := field(raw[i].GetStructValue(), f); v != nil {
				r.fragments[f] = v
			}
		}

		for _, e := range field(raw[i].GetStructValue(), "env").GetListValue().GetValues() {
			r.env = append(r.env, e)
		}

		r.vols, r.mounts = compileVolumes(field(raw[i].GetStructValue(), "volumes").GetListValue())
		r.tuning = maps.Clone(field(raw[i].GetStructValue(), "memory").GetStructValue().GetFields())
		delete(r.tuning, "providerConfigRef")

		out.roles[r.Name] = r
	}

	for i := range in.Models {
		out.models[in.Models[i].Name] = &in.Models[i]
	}

	return out
}

// The fields of a catalog's volume that say where it is mounted. The others say what it is.
var mountFields = []string{"mountPath", "subPath", "readOnly"}

// compileVolumes makes of a catalog's volumes those of a pod and the mounts of its agent.
func compileVolumes(in *structpb.ListValue) (vols, mounts list) {
	for _, v := range in.GetValues() {
		vol, mount := object{}, object{}

		for f, value := range v.GetStructValue().GetFields() {
			switch {
			case f == "name":
				vol[f], mount[f] = value, value
			case slices.Contains(mountFields, f):
				mount[f] = value
			default:
				vol[f] = value
			}
		}

		vols, mounts = append(vols, asValue(vol)), append(mounts, asValue(mount))
	}

	return vols, mounts
}
