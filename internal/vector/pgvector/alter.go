package pgvector

import (
	"context"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// patient is up to how many vectors an index is built while the caller waits. Building it over more would outlast any
// deadline, and begin anew each time.
const patient = 50000

// Alter implements vector.Driver. Indexes are built beside the old ones, and nobody who reads or writes waits for them.
func (d *driver) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	t := tableOf(want.Name)

	f, err := d.find(ctx, want.Name)
	if err != nil {
		return err
	}

	if want.Owner != f.note.Owner || !f.note.ours() {
		if err := d.stamp(ctx, t, f, want.Owner); err != nil {
			return err
		}
	}

	if err := d.alterFields(ctx, t, want, f); err != nil {
		return err
	}

	return d.alterIndex(ctx, t, want, have, f)
}

// stamp writes the owner, and with it what else is known of the table.
func (d *driver) stamp(ctx context.Context, t table, f found, owner string) error {
	n, s := f.note, f.state()
	n.Owner, n.Distance = owner, s.Distance

	return d.exec(ctx, "COMMENT ON TABLE "+t.sql()+" IS "+n.sql())
}

func (d *driver) alterFields(ctx context.Context, t table, want vector.Spec, f found) error {
	if want.IndexedFields == nil {
		return nil
	}

	have := f.state().IndexedFields

	for _, field := range want.IndexedFields {
		if slices.Contains(have, field) {
			continue
		}

		if err := d.exec(ctx, append([]string{serialized}, fieldIndex(t, field)...)...); err != nil {
			return err
		}
	}

	for _, i := range f.indexes {
		if n := readNote(i.Comment); n.Field == nil || slices.Contains(want.IndexedFields, *n.Field) {
			continue
		}

		if err := d.exec(ctx, serialized, "DROP INDEX IF EXISTS "+identifier(t.schema)+"."+identifier(i.Name)); err != nil {
			return err
		}
	}

	return nil
}

// alterIndex brings the index on the vectors from what it is to what is wanted.
func (d *driver) alterIndex(ctx context.Context, t table, want vector.Spec, have vector.State, f found) error {
	if len(Features.Compare(vector.Spec{Owner: f.note.Owner, Properties: indexOf(want)}, f.state()).Mutable) == 0 {
		return nil
	}

	p := vector.LateInit(indexOf(want), indexOf(vector.Spec{Properties: f.state().Properties}))
	p.Dim, p.Distance, p.Quantization = f.column.Dim, firstOf(f.state().Distance, want.Distance, vector.Cosine), have.Quantization
	p = resolve(vector.Spec{Properties: p}).Properties

	keep := ""

	if p.Index != vector.Flat {
		name, definition := vectorIndex(t, f.column.Name, f.column.Type, p)
		if err := d.build(ctx, t, name, definition, f); err != nil {
			return err
		}

		keep = name
	}

	for _, i := range f.indexes {
		if indexTypes[i.Method] == "" || i.Name == keep {
			continue
		}

		if err := d.exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+identifier(t.schema)+"."+identifier(i.Name)); err != nil {
			return err
		}
	}

	return nil
}

// indexOf returns what of a Spec is about the index on the vectors.
func indexOf(s vector.Spec) vector.Properties {
	return vector.Properties{Index: s.Index, M: s.M, EfConstruction: s.EfConstruction}
}

func firstOf(ds ...vector.Distance) vector.Distance {
	for _, d := range ds {
		if d != "" {
			return d
		}
	}

	return ""
}

// build makes an index, unless it is there. One that somebody began and did not finish is begun anew.
func (d *driver) build(ctx context.Context, t table, name, definition string, f found) error {
	at := slices.IndexFunc(f.indexes, func(i index) bool { return i.Name == name })

	switch {
	case at >= 0 && f.indexes[at].Valid:
		return nil
	case max(f.guess, f.count) > patient || f.count > exact && f.guess == 0:
		return vector.Errorf(vector.Unsupported, "the table has too many vectors to build an index while we wait: have somebody run CREATE INDEX CONCURRENTLY %s ON %s", identifier(name), definition)
	case at >= 0:
		if err := d.exec(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+identifier(t.schema)+"."+identifier(name)); err != nil {
			return err
		}
	}

	return d.exec(ctx, "CREATE INDEX CONCURRENTLY IF NOT EXISTS "+identifier(name)+" ON "+definition)
}
