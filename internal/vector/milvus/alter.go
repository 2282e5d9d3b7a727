package milvus

import (
	"context"
	"fmt"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/protobuf/proto"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Alter implements vector.Driver. It looks for itself, so that it does only what is left to do: an index that is made
// twice is an error if anything is different, and what was seen before may be old.
func (d *driver) Alter(ctx context.Context, want vector.Spec, _ vector.State) error {
	name := storeName(want.Name)

	l, err := d.look(ctx, name)
	if err != nil {
		return err
	}

	st, err := l.state()
	if err != nil {
		return err
	}

	if err := d.alterProperties(ctx, name, want, l); err != nil {
		return err
	}

	if err := d.addFields(ctx, name, want.IndexedFields, l); err != nil {
		return err
	}

	p := complete(vector.LateInit(want.Properties, st.Properties))
	p.Dim = st.Dim

	if err := d.addIndex(ctx, name, p, l); err != nil {
		return err
	}

	// Of a collection that is being loaded with nobody knows how many replicas, these many are fine if nobody cares.
	if l.loaded && (st.Replicas == nil && want.Replicas == nil || st.Replicas != nil && *st.Replicas == *p.Replicas) {
		return nil
	}

	return d.load(ctx, name, *p.Replicas)
}

// alterProperties sets the owner, and the number of replicas for finish and for whenever the collection is loaded again.
func (d *driver) alterProperties(ctx context.Context, name string, want vector.Spec, l look) error {
	props, have := map[string]string{}, values(l.collection.GetProperties())

	if want.Owner != l.owner() {
		props[ownerKey] = want.Owner // "" is none: Milvus does not delete properties in the request that sets others.
	}

	if want.Replicas != nil && have[replicasKey] != fmt.Sprint(*want.Replicas) {
		props[replicasKey] = fmt.Sprint(*want.Replicas)
	}

	if len(props) == 0 {
		return nil
	}

	return d.check(d.c.AlterCollection(ctx, &milvuspb.AlterCollectionRequest{CollectionName: name, Properties: pairs(props)}))
}

// addFields adds the columns that are not there, and an index to each that has none.
func (d *driver) addFields(ctx context.Context, name string, want []vector.Field, l look) error {
	for _, f := range want {
		if c := find(l.collection.GetSchema(), f.Name); c != nil {
			if err := sameType(c, f); err != nil {
				return err
			}
		} else if err := d.addField(ctx, name, f); err != nil {
			return err
		}

		if l.index(f.Name) != nil {
			continue
		}

		if err := d.createFieldIndex(ctx, name, f.Name); err != nil {
			return err
		}
	}

	return nil
}

func (d *driver) addField(ctx context.Context, name string, f vector.Field) error {
	c, err := proto.Marshal(column(f))
	if err != nil {
		return vector.Errorf(vector.Invalid, "cannot write the column %s: %w", f.Name, err)
	}

	return d.check(d.c.AddCollectionField(ctx, &milvuspb.AddCollectionFieldRequest{CollectionName: name, Schema: c}))
}

// addIndex makes the index on the vectors if there is none. The properties are complete.
func (d *driver) addIndex(ctx context.Context, name string, p vector.Properties, l look) error {
	v := vectors(l.collection.GetSchema())
	if v == nil {
		return vector.Errorf(vector.Invalid, "the collection must have one column of float vectors, or one called %s", vectorColumn)
	}

	if l.index(v.GetName()) != nil {
		return nil
	}

	return d.createIndex(ctx, name, v.GetName(), p)
}
