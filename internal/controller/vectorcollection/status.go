package vectorcollection

import (
	"fmt"
	"slices"
	"strconv"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// The stages a successor reaches.
const (
	stagePrepared = "Prepared"
	stageSwitched = "Switched"
	stageReleased = "Released"
)

// observation returns what was seen, as the status tells it.
func observation(g goal, s sight, store v1alpha1.VectorStoreType) v1alpha1.VectorCollectionObservation {
	o := v1alpha1.VectorCollectionObservation{CollectionObservation: collection(s.main), Store: store}

	at, spec := s.serving(g)
	if at != nil {
		o.Owner, o.Serving = at.Owner, spec.Name
	}

	for _, st := range []*vector.State{s.main, s.next} {
		if st != nil {
			o.Aliases = append(o.Aliases, g.known(st.Aliases)...)
		}
	}

	slices.Sort(o.Aliases)

	if g.next != nil {
		o.Successor = &v1alpha1.SuccessorObservation{CollectionObservation: collection(s.next), Collection: g.next.Name, Stage: g.reached(s)}
	}

	// A successor that was given up is remembered until it is let go.
	if g.next == nil && g.left != "" && s.left != nil && s.left.Owner == g.owner {
		o.Successor = &v1alpha1.SuccessorObservation{CollectionObservation: collection(s.left), Collection: g.left}
	}

	return o
}

// reached returns how far a successor is.
func (g goal) reached(s sight) string {
	switch {
	case s.next == nil:
		return ""
	case !g.switched() || !has(s.next.Aliases, g.aliases):
		return stagePrepared
	case g.released, g.stage == v1alpha1.SuccessorRelease && (s.main == nil || s.main.Owner != g.owner):
		return stageReleased
	default:
		return stageSwitched
	}
}

func collection(st *vector.State) v1alpha1.CollectionObservation {
	exists := st != nil
	o := v1alpha1.CollectionObservation{Exists: &exists}

	if st == nil {
		return o
	}

	if st.Dim > 0 {
		o.Dim = &st.Dim
	}

	o.Distance = v1alpha1.Distance(st.Distance)
	o.VectorCount, o.VectorCountApproximate = st.Vectors, st.Approximate

	if st.Index != "" || st.IndexState != "" {
		o.Index = &v1alpha1.IndexObservation{Type: string(st.Index), State: string(st.IndexState), ProgressPercent: st.IndexProgress}
	}

	if st.ShardsTotal > 0 {
		o.Shards = &v1alpha1.ShardObservation{Total: st.ShardsTotal, Ready: st.ShardsReady}
	}

	return o
}

// ready returns whether agents can use what was seen.
func ready(g goal, s sight) xpv2.Condition {
	at, spec := s.serving(g)

	switch {
	case at == nil:
		return xpv2.Creating()
	case at.IndexState == vector.IndexFailed:
		return xpv2.Unavailable().WithMessage(fmt.Sprintf("The store gave up building the index of collection %q: searches miss vectors until somebody looks at the store", spec.Name))
	case at.ShardsReady < at.ShardsTotal:
		return xpv2.Unavailable().WithMessage(fmt.Sprintf("%d of %d shards of collection %q can serve", at.ShardsReady, at.ShardsTotal, spec.Name))
	default:
		return xpv2.Available()
	}
}

// details returns what agents need to know. Keys that do not apply are absent.
func details(g goal, s sight, cfg storeConfig, a vector.Access, named func(string) string) managed.ConnectionDetails {
	at, spec := s.serving(g)
	if at == nil {
		return nil
	}

	name := spec.Name

	for _, alias := range g.aliases {
		if slices.Contains(at.Aliases, alias) {
			name = alias

			break
		}
	}

	d := managed.ConnectionDetails{
		v1alpha1.ConnectionStore:      []byte(cfg.Type),
		v1alpha1.ConnectionEndpoint:   []byte(cfg.Endpoint),
		v1alpha1.ConnectionCollection: []byte(named(name)),
		v1alpha1.ConnectionDim:        []byte(dimOf(at, spec)),
		v1alpha1.ConnectionDistance:   []byte(spec.Distance),
	}

	add(d, v1alpha1.ConnectionUser, a.User)
	add(d, v1alpha1.ConnectionPassword, a.Password)
	add(d, v1alpha1.ConnectionAPIKey, a.APIKey)
	add(d, v1alpha1.ConnectionCA, string(cfg.CA))
	add(d, v1alpha1.ConnectionReach, s.reach)

	if g.next != nil && s.next != nil && spec.Name != g.next.Name {
		d[v1alpha1.ConnectionSuccessor] = []byte(named(g.next.Name))
		d[v1alpha1.ConnectionSuccessorDim] = []byte(dimOf(s.next, *g.next))
	}

	return d
}

func add(d managed.ConnectionDetails, key, value string) {
	if value != "" {
		d[key] = []byte(value)
	}
}

func dimOf(st *vector.State, spec vector.Spec) string {
	return strconv.Itoa(int(max(st.Dim, spec.Dim)))
}

// unavailableFor returns a condition that says why a collection cannot be used, whatever state it is in.
func unavailableFor(err error) xpv2.Condition {
	return xpv2.Unavailable().WithMessage((&steady{err: err}).Error())
}
