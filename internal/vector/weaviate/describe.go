package weaviate

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Nodes are the nodes of a server, with the shards of one class that are on each.
type nodes struct {
	Nodes []struct {
		Status string  `json:"status"`
		Shards []shard `json:"shards"`
	} `json:"nodes"`
}

// A shard is a replica of one.
type shard struct {
	Name    string `json:"name"`
	Objects int64  `json:"objectCount"`
	Status  string `json:"vectorIndexingStatus"`
	// Queue is the number of vectors that wait to be indexed.
	Queue int64 `json:"vectorQueueLength"`
}

// objects are objects of a class, with their vectors.
type objects struct {
	Objects []object `json:"objects"`
}

type object struct {
	Vector  []float32            `json:"vector"`
	Vectors map[string][]float32 `json:"vectors"`
}

// A result of a query in GraphQL, of a class under its name.
type result struct {
	Data struct {
		Aggregate map[string][]struct {
			Meta struct {
				Count int64 `json:"count"`
			} `json:"meta"`
		} `json:"Aggregate"`
		Get map[string][]struct {
			Object object `json:"_additional"`
		} `json:"Get"`
	} `json:"data"`
	Errors []struct {
		Message string `json:"message"`
	} `json:"errors"`
}

func byName(a, b vector.Field) int { return cmp.Compare(a.Name, b.Name) }

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	stored := d.StoreName(name)

	c, err := d.class(ctx, stored)
	if err != nil {
		return vector.State{}, err
	}

	p, err := c.properties()
	if err != nil {
		return vector.State{}, err
	}

	st, _ := stampOf(c.Description)
	s := vector.State{Owner: st.Owner, Properties: p}

	var n nodes
	if err := d.do(ctx, http.MethodGet, "/nodes/"+stored+"?output=verbose", nil, &n); err != nil {
		return vector.State{}, err
	}

	n.tell(&s)

	if s.Aliases, err = d.aliases(ctx, stored); err != nil {
		return vector.State{}, err
	}

	if s.Tenancy == vector.Multi {
		return s, nil // Nothing can be asked of all tenants at once.
	}

	err = d.look(ctx, c, &s)

	return s, err
}

// class returns a class, NotFound if there is none, or only an alias of this name, for which the server returns its class.
func (d *driver) class(ctx context.Context, stored string) (class, error) {
	var c class
	if err := d.do(ctx, http.MethodGet, "/schema/"+stored, nil, &c); err != nil {
		return class{}, err
	}

	if c.Class != stored {
		return class{}, vector.Errorf(vector.NotFound, "there is no class %s, only an alias", stored)
	}

	return c, nil
}

// aliases returns the names of a class's aliases, sorted.
func (d *driver) aliases(ctx context.Context, stored string) ([]string, error) {
	var list struct {
		Aliases []alias `json:"aliases"`
	}

	if err := d.do(ctx, http.MethodGet, "/aliases?class="+stored, nil, &list); err != nil {
		return nil, err
	}

	var names []string
	for _, a := range list.Aliases {
		names = append(names, nameOf(a.Alias))
	}

	slices.Sort(names)

	return names, nil
}

// tell tells a State of the shards of its collection.
func (n nodes) tell(s *vector.State) {
	var queue int64

	objects := map[string]int64{} // Of a shard's replicas the one that has most of them.

	s.IndexState = vector.IndexReady

	for _, node := range n.Nodes {
		for _, sh := range node.Shards {
			s.ShardsTotal++

			if node.Status == "HEALTHY" && sh.serves() {
				s.ShardsReady++
			}

			if sh.Status == "INDEXING" || sh.Queue > 0 {
				s.IndexState = vector.IndexBuilding
			}

			queue += sh.Queue
			objects[sh.Name] = max(objects[sh.Name], sh.Objects)
		}
	}

	if s.Shards != nil && s.Replicas != nil {
		s.ShardsTotal = max(s.ShardsTotal, *s.Shards**s.Replicas) // Of a node that is down it lists none.
	}

	var count int64
	for _, o := range objects {
		count += o
	}

	if count > 0 { // What is not yet written to disk is not counted: none may be some.
		s.Vectors, s.Approximate = &count, true
	}

	if s.IndexState == vector.IndexBuilding && count > 0 && queue > 0 {
		percent := int32(100 - min(100, queue*100/count)) //nolint:gosec // From 0 to 100.
		s.IndexProgress = &percent
	}
}

// serves says whether searches and writes find a shard. One that was not used since the server started is loaded by them.
func (s shard) serves() bool {
	return slices.Contains([]string{"READY", "INDEXING", "LAZY_LOADING"}, s.Status)
}

// look tells a State of the vectors that are there: how many, and of what dimension.
func (d *driver) look(ctx context.Context, c class, s *vector.State) error {
	name, _, err := c.vectors()
	if err != nil {
		return err
	}

	which := "vector"
	if name != "" {
		which = "vectors{" + name + "}"
	}

	query := fmt.Sprintf("{Aggregate{%[1]s{meta{count}}} Get{%[1]s(limit:1){_additional{%[2]s}}}}", c.Class, which)

	var r result

	err = d.do(ctx, http.MethodPost, "/graphql", map[string]string{"query": query}, &r)

	switch counted := r.Data.Aggregate[c.Class]; {
	case vector.Is(err, vector.PermissionDenied), vector.Is(err, vector.Invalid):
		return d.lookAtOne(ctx, c.Class, name, s)
	case err != nil:
		return err
	case len(r.Errors) > 0 || len(counted) != 1:
		// Its schema follows the classes a moment later.
		return d.lookAtOne(ctx, c.Class, name, s)
	default:
		s.Vectors, s.Approximate = &counted[0].Meta.Count, false
	}

	for _, o := range r.Data.Get[c.Class] {
		o.Object.tell(name, s)
	}

	return nil
}

// lookAtOne is what can be asked where there is no GraphQL. That our key may not read data is no reason to fail.
func (d *driver) lookAtOne(ctx context.Context, stored, name string, s *vector.State) error {
	var seen objects

	err := d.do(ctx, http.MethodGet, "/objects?limit=1&include=vector&class="+stored, nil, &seen)

	switch {
	case vector.Is(err, vector.PermissionDenied):
		return nil
	case err != nil:
		return err
	case len(seen.Objects) == 0:
		s.Vectors, s.Approximate = new(int64), false
	}

	for _, o := range seen.Objects {
		o.tell(name, s)
	}

	return nil
}

// tell tells a State of what dimension vectors really are. An object may be without.
func (o object) tell(name string, s *vector.State) {
	v := o.Vector
	if name != "" {
		v = o.Vectors[name]
	}

	if len(v) > 0 {
		s.Dim = int32(len(v)) //nolint:gosec // At most 65,535.
	}
}
