package vectorcollection

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Reasons of events on a VectorCollection.
const (
	eventCreated   event.Reason = "CollectionCreated"
	eventLost      event.Reason = "CollectionLost"
	eventAdopted   event.Reason = "CollectionAdopted"
	eventTakenOver event.Reason = "CollectionTakenOver"
	eventAltered   event.Reason = "CollectionAltered"
	eventGranted   event.Reason = "AccessGranted"
	eventPointed   event.Reason = "AliasesPointed"
	eventSwitched  event.Reason = "SuccessorSwitched"
	eventReleased  event.Reason = "CollectionReleased"
	eventDeleted   event.Reason = "CollectionDeleted"
	eventKept      event.Reason = "CollectionKept"
)

// A sight is what was seen in the store. Collections are nil where there are none.
type sight struct {
	main, next, left *vector.State
	// access and reach are what agents have been given: how to log in, and what that login reached.
	access vector.Access
	reach  string
}

// exists says whether there is what the resource stands for.
func (s sight) exists(g goal) bool {
	return s.main != nil && !g.released || g.switched() && s.next != nil
}

// serving returns the collection that agents reach, and what was wanted of it: the successor once the aliases point to it.
func (s sight) serving(g goal) (*vector.State, vector.Spec) {
	if g.next != nil && s.next != nil && (g.released || has(s.next.Aliases, g.aliases)) {
		return s.next, *g.next
	}

	return s.main, g.main
}

// A step is one change of the store on the way from what was seen to the goal. Doing it twice is doing it once.
type step struct {
	reason event.Reason
	// message says what is done, in the past tense.
	message string
	do      func(context.Context, *external) error
}

// check returns why the goal cannot be reached whatever is done, or nil.
func (g goal) check(f vector.Features, s sight) error {
	type pair struct {
		spec vector.Spec
		have *vector.State
	}

	var pairs []pair

	// What is about to be let go need not be as it was wanted.
	if g.stage != v1alpha1.SuccessorRelease {
		pairs = append(pairs, pair{g.main, s.main})
	}

	if g.next != nil {
		pairs = append(pairs, pair{*g.next, s.next})
	}

	for _, p := range pairs {
		if p.have == nil {
			continue
		}

		if f.Stamp && !g.observe && p.have.Owner != "" && p.have.Owner != g.owner && p.have.Owner != g.takeOver {
			return vector.Errorf(vector.Owned, "collection %q belongs to %s, as it is stamped in the store: to take it over, annotate this VectorCollection with %s: %q",
				p.spec.Name, p.have.Owner, v1alpha1.AnnotationTakeOver, p.have.Owner)
		}

		if err := f.Compare(p.spec, *p.have).Err(); err != nil {
			return vector.Errorf(vector.ImmutableMismatch, "collection %q: %w", p.spec.Name, err)
		}
	}

	return nil
}

// supported returns an Unsupported error if the store cannot do what is asked for.
func (g goal) supported(f vector.Features) error {
	if err := f.Check(g.main, g.aliases...); err != nil {
		return err
	}

	if g.next == nil {
		return nil
	}

	if err := f.Check(*g.next, g.aliases...); err != nil {
		return vector.Errorf(vector.Unsupported, "successor: %w", err)
	}

	return nil
}

// steps returns what is left to do, in order. Whoever dies between two of them finds the rest to do the next time.
func (g goal) steps(f vector.Features, s sight, grants bool) []step {
	if g.observe {
		return nil
	}

	var out []step

	if g.stage != v1alpha1.SuccessorRelease {
		out = append(out, g.alter(f, g.main, s.main)...)
	}

	if g.next != nil {
		out = append(out, g.makeSuccessor(f, s)...)
	}

	out = append(out, g.letIn(s, grants)...)

	if g.stage == v1alpha1.SuccessorRelease && !g.released && g.owns(f, s.main) {
		out = append(out, g.letGo(g.main, *s.main, eventReleased))
	}

	if g.left != "" && g.owns(f, s.left) {
		out = append(out, g.letGo(vector.Spec{Name: g.left}, *s.left, eventReleased))
	}

	return out
}

// owns says whether there is anything to let go of: where the store has no stamp, a collection that is kept looks as before.
func (g goal) owns(f vector.Features, st *vector.State) bool {
	return g.ours(f, st) && (f.Stamp || g.onDelete == v1alpha1.DataDelete)
}

func (g goal) makeSuccessor(f vector.Features, s sight) []step {
	if s.next != nil {
		return g.alter(f, *g.next, s.next)
	}

	return []step{create(*g.next)}
}

func create(spec vector.Spec) step {
	return step{
		reason:  eventCreated,
		message: fmt.Sprintf("Created collection %q with dim %d and distance %s", spec.Name, spec.Dim, spec.Distance),
		do:      func(ctx context.Context, e *external) error { return e.conn.Create(ctx, spec) },
	}
}

// alter returns the step that removes the differences of a collection, if it has any.
func (g goal) alter(f vector.Features, want vector.Spec, have *vector.State) []step {
	if have == nil {
		return nil
	}

	d := f.Compare(want, *have)
	if len(d.Mutable) == 0 {
		return nil
	}

	reason, message := eventAltered, fmt.Sprintf("Changed collection %q: %s", want.Name, changes(d))

	switch {
	case !f.Stamp || have.Owner == want.Owner:
	case have.Owner == "":
		reason = eventAdopted
	default:
		reason = eventTakenOver
	}

	st := *have

	return []step{{reason: reason, message: message, do: func(ctx context.Context, e *external) error { return e.conn.Alter(ctx, want, st) }}}
}

func changes(d vector.Difference) string {
	texts := make([]string, len(d.Mutable))
	for i, c := range d.Mutable {
		texts[i] = fmt.Sprintf("%s from %s to %s", c.Property, c.Have, c.Want)
	}

	return strings.Join(texts, ", ")
}

// letIn returns the steps by which agents reach the collection that is to serve: its aliases, and their login.
//
// The login comes before and after the aliases: before, because agents follow an alias at once; after, because what
// serves an alias may be a new thing to which nobody has rights yet.
func (g goal) letIn(s sight, grants bool) []step {
	at, spec := s.main, g.main
	if g.switched() {
		at, spec = s.next, *g.next
	}

	var have []string
	if at != nil {
		have = at.Aliases
	}

	point := !has(have, g.aliases) || len(g.stale(have)) > 0
	login := grants && g.grant && s.reach != g.reach()

	var out []step

	if g.switched() && s.main != nil {
		out = append(out, g.unpoint(g.main.Name, g.stale(s.main.Aliases))...)
	}

	if login && point && s.reach != "" {
		out = append(out, g.admit(seenAliases(s, g.aliases), both(g)))
	}

	if point {
		out = append(out, g.point(spec.Name, have))
	}

	if login {
		names := both(g)
		if g.stage == v1alpha1.SuccessorRelease {
			names = []string{spec.Name}
		}

		out = append(out, g.admit(g.aliases, names))
	}

	return out
}

// missing returns the aliases that are wanted and that neither of our collections has.
func (g goal) missing(s sight) []string {
	seen := seenAliases(s, g.aliases)

	return slices.DeleteFunc(slices.Clone(g.aliases), func(a string) bool { return slices.Contains(seen, a) })
}

// both returns the collections that agents may reach: while there are two, both of them, for whoever fills the successor.
func both(g goal) []string {
	names := []string{g.main.Name}
	if g.released {
		names = nil
	}

	if g.next != nil {
		names = append(names, g.next.Name)
	}

	return names
}

// seenAliases returns those of the wanted aliases that exist.
func seenAliases(s sight, want []string) []string {
	var out []string

	for _, st := range []*vector.State{s.main, s.next} {
		for _, a := range want {
			if st != nil && slices.Contains(st.Aliases, a) {
				out = append(out, a)
			}
		}
	}

	return slices.Sorted(slices.Values(out))
}

// reach tells what a login is to reach, and through which aliases. It is kept with the login, so that a login is only
// looked after when this changes.
func (g goal) reach() string {
	names := both(g)
	at := g.main.Name

	if g.switched() {
		at = g.next.Name
	}

	if g.stage == v1alpha1.SuccessorRelease {
		names = []string{at}
	}

	for _, a := range g.aliases {
		names = append(names, a+"="+at)
	}

	return strings.Join(names, " ")
}

// known returns those aliases that we set, or are to set. Those that others set are none of our business.
func (g goal) known(have []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(a string) bool {
		return !slices.Contains(g.aliases, a) && !slices.Contains(g.formerly, a)
	})
}

// stale returns the aliases that we set and that are no longer wanted.
func (g goal) stale(have []string) []string {
	return slices.DeleteFunc(g.known(have), func(a string) bool { return slices.Contains(g.aliases, a) })
}

func (g goal) point(collection string, have []string) step {
	reason := eventPointed
	if g.next != nil {
		reason = eventSwitched
	}

	known := g.known(have)
	message := fmt.Sprintf("Pointed %s to collection %q", quoted(g.aliases), collection)

	if gone := g.stale(have); len(gone) > 0 {
		message += ", and removed " + quoted(gone)
	}

	return step{reason: reason, message: message, do: func(ctx context.Context, e *external) error {
		return e.conn.PointAliases(ctx, collection, g.aliases, known)
	}}
}

func (g goal) admit(aliases, collections []string) step {
	return step{
		reason:  eventGranted,
		message: fmt.Sprintf("Let login %q reach %s", g.login, quoted(collections)),
		do: func(ctx context.Context, e *external) error {
			return e.admit(ctx, vector.Grant{Login: g.login, Collections: collections, Aliases: aliases}, g.reach())
		},
	}
}

// letGo returns the step that removes a collection of ours with its data, or keeps it for whoever asks for it next.
func (g goal) letGo(spec vector.Spec, have vector.State, reason event.Reason) step {
	if g.onDelete == v1alpha1.DataDelete {
		return step{reason: reason, message: fmt.Sprintf("Deleted collection %q with its %s", spec.Name, vectors(have)),
			do: func(ctx context.Context, e *external) error { return e.conn.Drop(ctx, spec.Name) }}
	}

	// Nothing but the owner changes.
	return step{reason: reason, message: fmt.Sprintf("Kept collection %q with its %s, and let it go", spec.Name, vectors(have)),
		do: func(ctx context.Context, e *external) error {
			same := vector.Properties{Dim: have.Dim, Distance: have.Distance}

			return e.conn.Alter(ctx, vector.Spec{Name: spec.Name, Properties: same}, have)
		}}
}

// vectors tells how many vectors a collection has.
func vectors(st vector.State) string {
	switch {
	case st.Vectors == nil:
		return "vectors"
	case st.Approximate:
		return fmt.Sprintf("about %d vectors", *st.Vectors)
	default:
		return fmt.Sprintf("%d vectors", *st.Vectors)
	}
}

// has says whether all wanted aliases are there.
func has(have, want []string) bool {
	return !slices.ContainsFunc(want, func(a string) bool { return !slices.Contains(have, a) })
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "no alias"
	}

	return fmt.Sprintf("%q", names)
}

// messages tells of steps in words.
func messages(ss []step) string {
	texts := make([]string, len(ss))
	for i, s := range ss {
		texts[i] = s.message
	}

	return strings.Join(texts, "; ")
}
