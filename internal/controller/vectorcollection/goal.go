package vectorcollection

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// maxOwner is how long a stamp can be in every store, in bytes.
const maxOwner = 256

// maxLogin is how long the name of a login can be in every store, in bytes.
const maxLogin = 63

// A goal is what a VectorCollection asks for, in the words of a store.
type goal struct {
	// owner is the stamp that our collections carry.
	owner string
	// takeOver is the stamp of an owner from whom we may take a collection.
	takeOver string
	// login of the agents.
	login string
	// observe: look, and change nothing.
	observe bool
	// grant: agents need a login, if the store can make one.
	grant bool

	// main is the collection, next its successor if it has one, stage how far that is to go.
	main  vector.Spec
	next  *vector.Spec
	stage v1alpha1.SuccessorStage
	// released: main was let go already, and is not to be looked at.
	released bool

	// aliases that are wanted, and those we may have set before.
	aliases, formerly []string
	// left is a successor that was given up, "" for none.
	left     string
	onDelete v1alpha1.DataPolicy
}

// goalOf returns what a VectorCollection asks for. Its owner is the stamp of that resource in this cluster.
func goalOf(mg *v1alpha1.VectorCollection, owner string, policies bool) goal {
	p, seen := mg.Spec.ForProvider, mg.Status.AtProvider
	may := managed.NewManagementPoliciesResolver(policies, mg.GetManagementPolicies())

	g := goal{
		owner:    owner,
		takeOver: mg.GetAnnotations()[v1alpha1.AnnotationTakeOver],
		login:    loginOf(mg, owner),
		observe:  !may.ShouldUpdate(),
		grant:    mg.GetWriteConnectionSecretToReference() != nil && may.ShouldUpdate(),
		main:     specOf(meta.GetExternalName(mg), owner, p.Dim, p.Distance, p.VectorTuning),
		aliases:  slices.Sorted(slices.Values(p.Aliases)),
		formerly: seen.Aliases,
		onDelete: p.OnDelete,
	}

	if s := successorOf(mg); s != nil {
		next := specOf(s.Collection, owner, s.Dim, s.Distance, p.VectorTuning)
		g.next, g.stage = &next, s.Stage
	}

	if folding(mg) {
		// The spec describes the successor already; of the old one only what was seen is left.
		g.main.Dim, g.main.Distance = 0, vector.Distance(seen.Distance)
	}

	if was := seen.Successor; was != nil {
		g.released = g.stage == v1alpha1.SuccessorRelease && was.Stage == stageReleased && was.Collection == g.next.Name

		if was.Collection != g.main.Name && (g.next == nil || was.Collection != g.next.Name) {
			g.left = was.Collection
		}
	}

	return g
}

// folding says that the spec already tells of the successor as the collection, while the old one has not been let go.
func folding(mg *v1alpha1.VectorCollection) bool {
	p, was := mg.Spec.ForProvider, mg.Status.AtProvider.Successor

	return was != nil && was.Collection == p.Collection && meta.GetExternalName(mg) != p.Collection
}

// successorOf returns the successor that is asked for, if any.
func successorOf(mg *v1alpha1.VectorCollection) *v1alpha1.VectorSuccessor {
	p := mg.Spec.ForProvider
	if !folding(mg) {
		return p.Successor
	}

	return &v1alpha1.VectorSuccessor{Collection: p.Collection, Dim: p.Dim, Distance: p.Distance, Stage: v1alpha1.SuccessorRelease}
}

// foldedInto returns the external name that a VectorCollection should have after its released successor became its
// collection, or "".
func foldedInto(mg *v1alpha1.VectorCollection) string {
	if was := mg.Status.AtProvider.Successor; folding(mg) && was.Stage == stageReleased {
		return was.Collection
	}

	return ""
}

// target is the collection that must exist for the resource to exist.
func (g goal) target() vector.Spec {
	if g.next != nil && g.stage != v1alpha1.SuccessorPrepare {
		return *g.next
	}

	return g.main
}

// switched says that the aliases are to point to the successor.
func (g goal) switched() bool {
	return g.next != nil && (g.stage == v1alpha1.SuccessorSwitch || g.stage == v1alpha1.SuccessorRelease)
}

// ours says whether a collection may be changed and removed. Where a store has no place for a stamp, nobody can tell.
func (g goal) ours(f vector.Features, st *vector.State) bool {
	return st != nil && (!f.Stamp || st.Owner == g.owner)
}

// ownerOf returns the stamp of a VectorCollection of this cluster.
func ownerOf(mg *v1alpha1.VectorCollection, cluster string) string {
	full := mg.GetNamespace() + "/" + mg.GetName() + "@" + cluster
	if len(full) <= maxOwner {
		return full
	}

	suffix := "~" + digest(full) + "@" + cluster

	return full[:maxOwner-len(suffix)] + suffix
}

// loginOf returns a login's name: for people the resource's, and for all stores and clusters unique.
func loginOf(mg *v1alpha1.VectorCollection, owner string) string {
	name := strings.NewReplacer(".", "-").Replace(mg.GetNamespace() + "-" + mg.GetName())
	suffix := "-" + digest(owner)

	return name[:min(len(name), maxLogin-len(suffix))] + suffix
}

func digest(s string) string {
	h := sha256.Sum256([]byte(s))

	return hex.EncodeToString(h[:5])
}

// specOf returns a collection as it is wanted in the store.
func specOf(name, owner string, dim int32, d v1alpha1.Distance, t v1alpha1.VectorTuning) vector.Spec {
	s := vector.Spec{Name: name, Owner: owner, Properties: vector.Properties{
		Dim:          dim,
		Distance:     vector.Distance(d),
		Shards:       t.Shards,
		Replicas:     t.Replicas,
		Quantization: vector.Quantization(t.Quantization),
		OnDisk:       t.OnDisk,
		Tenancy:      vector.Tenancy(t.Tenancy),
	}}

	if i := t.Index; i != nil {
		s.Index, s.M, s.EfConstruction, s.Ef = vector.IndexType(i.Type), i.M, i.EfConstruction, i.Ef
	}

	for _, f := range t.IndexedFields {
		s.IndexedFields = append(s.IndexedFields, vector.Field{Name: f.Name, Type: vector.FieldType(f.Type)})
	}

	slices.SortFunc(s.IndexedFields, func(a, b vector.Field) int { return strings.Compare(a.Name, b.Name) })

	return s
}

// lateInit completes the tuning by what the store chose, and says whether that changed anything.
func lateInit(t *v1alpha1.VectorTuning, have vector.Properties) bool {
	want := specOf("", "", 0, "", *t).Properties
	p := vector.LateInit(want, have)

	changed := set(&t.Shards, p.Shards)
	changed = set(&t.Replicas, p.Replicas) || changed
	changed = set(&t.OnDisk, p.OnDisk) || changed
	changed = setText(&t.Quantization, string(p.Quantization)) || changed
	changed = setText(&t.Tenancy, string(p.Tenancy)) || changed

	i := v1alpha1.VectorIndex{}
	if t.Index != nil {
		i = *t.Index
	}

	index := setText(&i.Type, string(p.Index))
	index = set(&i.M, p.M) || index
	index = set(&i.EfConstruction, p.EfConstruction) || index
	index = set(&i.Ef, p.Ef) || index

	if index {
		t.Index = &i
	}

	return changed || index
}

func set[T any](into **T, v *T) bool {
	if *into != nil || v == nil {
		return false
	}

	c := *v
	*into = &c

	return true
}

func setText(into *string, v string) bool {
	if *into != "" || v == "" {
		return false
	}

	*into = v

	return true
}
