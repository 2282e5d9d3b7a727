package weaviate

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Alter implements vector.Driver. A class is changed by writing all of it: what others write between our reading and
// writing is lost.
func (d *driver) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	stored := d.StoreName(want.Name)

	var raw json.RawMessage
	if err := d.do(ctx, http.MethodGet, "/schema/"+stored, nil, &raw); err != nil {
		return err
	}

	var c class
	if err := json.Unmarshal(raw, &c); err != nil {
		return vector.Errorf(vector.Invalid, "the answer is not that of a Weaviate server: %w", err)
	}

	if c.Class != stored {
		return vector.Errorf(vector.NotFound, "there is no class %s, only an alias", stored)
	}

	missing, err := c.missing(want.IndexedFields)
	if err != nil {
		return err
	}

	changed, err := c.changed(raw, want, have)
	if err != nil {
		return err
	}

	// The stamp first: a field that is in it and not there is described as missing.
	if changed != nil {
		if err := d.do(ctx, http.MethodPut, "/schema/"+stored, changed, nil); err != nil {
			return err
		}
	}

	for _, p := range missing {
		if err := d.do(ctx, http.MethodPost, "/schema/"+stored+"/properties", p, nil); err != nil {
			return err
		}
	}

	return nil
}

// missing returns the properties to add for fields. ImmutableMismatch if one is there and is not what is wanted.
func (c class) missing(fields []vector.Field) ([]property, error) {
	var ps []property

	for _, f := range fields {
		p := propertyOf(f)
		i := slices.IndexFunc(c.Properties, func(have property) bool { return have.Name == p.Name })

		switch {
		case i < 0:
			ps = append(ps, p)
		case c.Properties[i].fieldType() != f.Type:
			return nil, vector.Errorf(vector.ImmutableMismatch, "property %s is there as %v with tokenization %q and should be an indexed %s, which cannot change",
				p.Name, c.Properties[i].DataType, c.Properties[i].Tokenization, f.Type)
		}
	}

	return ps, nil
}

// changed returns all of a class as it should be, or nil if it is.
func (c class) changed(raw []byte, want vector.Spec, have vector.State) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // What is not ours to change goes back as it came.

	var all map[string]any
	if err := d.Decode(&all); err != nil {
		return nil, vector.Errorf(vector.Invalid, "the answer is not that of a Weaviate server: %w", err)
	}

	described, err := c.described(want, have)
	if err != nil {
		return nil, err
	}

	write := described != c.Description
	all["description"] = described

	config, err := c.config(all)
	if err != nil {
		return nil, err
	}

	if want.Ef != nil && (have.Ef == nil || *have.Ef != *want.Ef) {
		config["ef"], write = *want.Ef, true
	}

	if q := theirs(quantizations, want.Quantization); q != "" && want.Quantization != have.Quantization {
		part, _ := config[q].(map[string]any)
		if part == nil {
			part = map[string]any{}
		}

		part["enabled"] = true
		if q == "rq" {
			part["bits"] = 8
		}

		config[q], write = part, true
	}

	if !write {
		return nil, nil //nolint:nilnil // Nothing to write is an answer.
	}

	return all, nil
}

// described returns the description as it should be. Owned if it became somebody else's since we looked.
func (c class) described(want vector.Spec, have vector.State) (string, error) {
	st, text := stampOf(c.Description)
	if st.Owner != have.Owner && st.Owner != want.Owner {
		return "", vector.Errorf(vector.Owned, "class %s became that of %q while it was looked at", c.Class, st.Owner)
	}

	st.Owner = want.Owner

	if st.Dim == 0 {
		st.Dim = want.Dim
	}

	if want.IndexedFields != nil && st.Fields == nil {
		st.Fields = []string{}
	}

	for _, f := range want.IndexedFields {
		if !slices.Contains(st.Fields, f.Name) {
			st.Fields = append(st.Fields, f.Name)
		}
	}

	return st.under(text), nil
}

// config returns the configuration of a class's index within all of it.
func (c class) config(all map[string]any) (map[string]any, error) {
	name, _, err := c.vectors()
	if err != nil {
		return nil, err
	}

	at := all
	if name != "" {
		named, _ := all["vectorConfig"].(map[string]any)
		at, _ = named[name].(map[string]any)
	}

	config, ok := at["vectorIndexConfig"].(map[string]any)
	if !ok {
		return nil, vector.Errorf(vector.Invalid, "class %s has no configuration of an index", c.Class)
	}

	return config, nil
}
