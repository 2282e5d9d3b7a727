package pgvector

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// exact is up to how many vectors they are counted. Counting more at each look would be most of what the server does.
const exact = 10000

// A note is what the comment of a table, a schema or a role of ours holds.
type note struct {
	// Version of the note, 1. A comment without it is not ours.
	Version  int             `json:"aidispatcher"`
	Owner    string          `json:"owner,omitempty"`
	Distance vector.Distance `json:"distance,omitempty"`
	Tenancy  vector.Tenancy  `json:"tenancy,omitempty"`
	// Field of an index.
	Field *vector.Field `json:"field,omitempty"`
	// Alias marks a schema that is one.
	Alias bool `json:"alias,omitempty"`
	// Fingerprint of a login's password.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Comment is what others had written there.
	Comment string `json:"comment,omitempty"`
}

// readNote returns what a comment holds. One that is not ours is kept as it is.
func readNote(comment string) note {
	var n note
	if json.Unmarshal([]byte(comment), &n) != nil || n.Version != 1 {
		return note{Comment: comment}
	}

	return n
}

func (n note) ours() bool { return n.Version == 1 }

// sql returns the note as a literal.
func (n note) sql() string {
	n.Version = 1

	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // It holds strings.
	}

	return literal(string(b))
}

// A column of vectors.
type column struct {
	Name string `json:"name"`
	// Type is vector or halfvec.
	Type string `json:"type"`
	// Dim is -1 where the column takes any.
	Dim int32 `json:"dim"`
}

// An index as the catalogs have it.
type index struct {
	Name    string   `json:"name"`
	Method  string   `json:"am"`
	Class   string   `json:"ops"`
	Options []string `json:"options"`
	Valid   bool     `json:"valid"`
	Comment string   `json:"comment"`
}

// found is a collection as it was found.
type found struct {
	note    note
	column  column
	indexes []index
	aliases []string
	count   int64
	guess   int64
}

// lookup finds all there is to know of a table: what its comment says, its columns of vectors, its indexes, the aliases over
// it, how many rows it has up to a bound, and how many it had when it was last analyzed.
func lookup(t table) string {
	oid := literal(t.sql()) + "::text::regclass"

	return `SELECT coalesce(obj_description(c.oid, 'pg_class'), ''), greatest(c.reltuples, 0)::bigint,
 (SELECT count(*) FROM (SELECT FROM ` + t.sql() + ` LIMIT ` + strconv.Itoa(exact+1) + `) s),
 coalesce((SELECT json_agg(json_build_object('name', a.attname, 'type', y.typname, 'dim', a.atttypmod) ORDER BY a.attname <> 'embedding', a.attnum)
   FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND y.typname IN ('vector', 'halfvec')), '[]')::text,
 coalesce((SELECT json_agg(json_build_object('name', i.relname, 'am', m.amname, 'ops', (SELECT o.opcname FROM pg_opclass o WHERE o.oid = x.indclass[0]),
     'options', i.reloptions, 'valid', x.indisvalid, 'comment', coalesce(obj_description(i.oid, 'pg_class'), '')) ORDER BY i.relname)
   FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_am m ON m.oid = i.relam
   WHERE x.indrelid = c.oid), '[]')::text,
 coalesce((SELECT json_agg(DISTINCT v.relname) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
   JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v' JOIN pg_namespace n ON n.oid = v.relnamespace AND n.nspname = v.relname
   WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND obj_description(n.oid, 'pg_namespace') LIKE '%"alias":true%'), '[]')::text
 FROM pg_class c WHERE c.oid = ` + oid + ` AND c.relkind IN ('r', 'p')`
}

func (d *driver) find(ctx context.Context, collection string) (found, error) {
	t := tableOf(collection)

	rows, err := d.pool.Query(ctx, lookup(t))
	if err != nil {
		return found{}, notThere(collection, classify(ctx, err))
	}
	defer rows.Close()

	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return found{}, notThere(collection, classify(ctx, err))
		}

		return found{}, vector.Errorf(vector.NotFound, "there is no table %s", t.sql())
	}

	var (
		f                         found
		comment                   string
		columns, indexes, aliases string
	)

	if err := rows.Scan(&comment, &f.guess, &f.count, &columns, &indexes, &aliases); err != nil {
		return found{}, classify(ctx, err)
	}

	rows.Close()

	if err := rows.Err(); err != nil {
		return found{}, notThere(collection, classify(ctx, err))
	}

	var all []column

	for into, text := range map[any]string{&all: columns, &f.indexes: indexes, &f.aliases: aliases} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return found{}, vector.Errorf(vector.Unknown, "cannot read the catalogs of PostgreSQL: %w", err)
		}
	}

	if len(all) == 0 {
		return found{}, vector.Errorf(vector.Invalid, "table %s has no column of type vector or halfvec", t.sql())
	}

	f.note, f.column = readNote(comment), all[0]
	slices.Sort(f.aliases)

	return f, nil
}

// notThere names the table where PostgreSQL says that there is none.
func notThere(collection string, err error) error {
	if vector.Is(err, vector.NotFound) {
		return vector.Errorf(vector.NotFound, "there is no table %s", tableOf(collection).sql())
	}

	return err
}

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	f, err := d.find(ctx, name)
	if err != nil {
		return vector.State{}, err
	}

	return f.state(), nil
}

func (f found) state() vector.State {
	s := vector.State{Owner: f.note.Owner, Aliases: f.aliases, Vectors: &f.count, IndexState: vector.IndexAbsent}
	s.Dim, s.Distance, s.Tenancy, s.Index = max(0, f.column.Dim), f.note.Distance, f.note.Tenancy, vector.Flat
	s.Quantization = vector.QuantizationNone

	if f.column.Type == "halfvec" {
		s.Quantization = vector.Half
	}

	if f.count > exact {
		n := max(f.guess, f.count)
		s.Vectors, s.Approximate = &n, true
	}

	s.IndexedFields = []vector.Field{}

	for _, i := range f.indexes {
		if n := readNote(i.Comment); n.Field != nil && i.Valid {
			s.IndexedFields = append(s.IndexedFields, *n.Field)
		}
	}

	slices.SortFunc(s.IndexedFields, func(a, b vector.Field) int { return strings.Compare(a.Name, b.Name) })

	if i, ok := f.vectorIndex(); ok {
		i.describe(&s)
	}

	return s
}

// vectorIndex returns the index that searches use: a valid one before one that is being built.
func (f found) vectorIndex() (index, bool) {
	best := -1

	for n, i := range f.indexes {
		if indexTypes[i.Method] != "" && (best < 0 || i.Valid && !f.indexes[best].Valid) {
			best = n
		}
	}

	if best < 0 {
		return index{}, false
	}

	return f.indexes[best], true
}

// indexTypes by the access method that makes them.
var indexTypes = map[string]vector.IndexType{"hnsw": vector.HNSW, "ivfflat": vector.IVFFlat}

func (i index) describe(s *vector.State) {
	s.Index, s.IndexState = indexTypes[i.Method], vector.IndexReady
	if !i.Valid {
		s.IndexState = vector.IndexBuilding
	}

	for d, class := range classes {
		if strings.HasSuffix(i.Class, class) {
			s.Distance = d
		}
	}

	if s.Index != vector.HNSW {
		return
	}

	s.M, s.EfConstruction = number(defaultM), number(defaultEfConstruction)

	for _, o := range i.Options {
		key, value, _ := strings.Cut(o, "=")

		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			continue
		}

		switch key {
		case "m":
			s.M = number(int32(n))
		case "ef_construction":
			s.EfConstruction = number(int32(n))
		}
	}
}

// classes are the ends of the names of operator classes, after the column's type.
var classes = map[vector.Distance]string{vector.Cosine: "_cosine_ops", vector.Dot: "_ip_ops", vector.L2: "_l2_ops"}
