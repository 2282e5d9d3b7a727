package milvus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// Lengths of text columns in bytes: the longest that Milvus takes, and what is enough for an id or a tenant.
	longText  = 65535
	shortText = 512

	lengthKey = "max_length"
	dimKey    = "dim"
	matchKey  = "enable_match"
)

// schema returns the columns of a new collection. The properties are complete.
func schema(name, description string, p vector.Properties) *schemapb.CollectionSchema {
	id := text(idColumn, shortText)
	id.IsPrimaryKey = true

	s := &schemapb.CollectionSchema{
		Name: name, Description: description, EnableDynamicField: true,
		Fields: []*schemapb.FieldSchema{id, {
			Name: vectorColumn, DataType: schemapb.DataType_FloatVector,
			TypeParams: []*commonpb.KeyValuePair{{Key: dimKey, Value: strconv.Itoa(int(p.Dim))}},
		}},
	}

	if p.Tenancy == vector.Multi {
		tenant := text(tenantColumn, shortText)
		tenant.IsPartitionKey = true
		s.Fields = append(s.Fields, tenant)
	}

	for _, f := range p.IndexedFields {
		s.Fields = append(s.Fields, column(f))
	}

	return s
}

func text(name string, length int) *schemapb.FieldSchema {
	return &schemapb.FieldSchema{
		Name: name, DataType: schemapb.DataType_VarChar,
		TypeParams: []*commonpb.KeyValuePair{{Key: lengthKey, Value: strconv.Itoa(length)}},
	}
}

// column returns the column of an indexed field. It may be null: agents need not fill it, and the vectors that are there
// when it is added do not have it.
func column(f vector.Field) *schemapb.FieldSchema {
	c := &schemapb.FieldSchema{Name: f.Name}

	switch f.Type {
	case vector.Integer:
		c.DataType = schemapb.DataType_Int64
	case vector.Float:
		c.DataType = schemapb.DataType_Double
	case vector.Boolean:
		c.DataType = schemapb.DataType_Bool
	case vector.Text:
		c = text(f.Name, longText)
		c.TypeParams = append(c.TypeParams, pairs(map[string]string{"enable_analyzer": "true", matchKey: "true"})...)
	default: // Keyword.
		c = text(f.Name, longText)
	}

	c.Nullable = true

	return c
}

// fieldType returns what type of field a column is, "" if none of ours.
func fieldType(c *schemapb.FieldSchema) vector.FieldType {
	switch c.GetDataType() {
	case schemapb.DataType_Int8, schemapb.DataType_Int16, schemapb.DataType_Int32, schemapb.DataType_Int64:
		return vector.Integer
	case schemapb.DataType_Float, schemapb.DataType_Double:
		return vector.Float
	case schemapb.DataType_Bool:
		return vector.Boolean
	case schemapb.DataType_VarChar:
		if on, _ := strconv.ParseBool(values(c.GetTypeParams())[matchKey]); on {
			return vector.Text
		}

		return vector.Keyword
	default:
		return ""
	}
}

// vectors returns the column of the vectors: ours by its name; in a collection that somebody else made, the only one.
func vectors(s *schemapb.CollectionSchema) *schemapb.FieldSchema {
	var found []*schemapb.FieldSchema

	for _, c := range s.GetFields() {
		switch {
		case c.GetDataType() != schemapb.DataType_FloatVector:
		case c.GetName() == vectorColumn:
			return c
		default:
			found = append(found, c)
		}
	}

	if len(found) != 1 {
		return nil
	}

	return found[0]
}

// find returns a column, nil if there is none.
func find(s *schemapb.CollectionSchema, name string) *schemapb.FieldSchema {
	i := slices.IndexFunc(s.GetFields(), func(c *schemapb.FieldSchema) bool { return c.GetName() == name })
	if i < 0 {
		return nil
	}

	return s.GetFields()[i]
}

// sameType returns an error if a column is not of the type of the field that it should be.
func sameType(c *schemapb.FieldSchema, f vector.Field) error {
	if have := fieldType(c); have != f.Type {
		if have == "" {
			have = vector.FieldType(strings.ToLower(c.GetDataType().String()))
		}

		return vector.Errorf(vector.ImmutableMismatch, "the column %s is %s and should be %s, which cannot change", f.Name, have, f.Type)
	}

	return nil
}

// describe returns what a schema, properties included, says of a collection.
func describe(p *vector.Properties, s *schemapb.CollectionSchema, props map[string]string) error {
	p.Tenancy = vector.Single

	for _, c := range s.GetFields() {
		if c.GetIsPartitionKey() {
			p.Tenancy = vector.Multi
		}
	}

	if v := vectors(s); v != nil {
		dim := number(values(v.GetTypeParams())[dimKey])
		if dim == nil {
			return vector.Errorf(vector.Unknown, "cannot read the dimension of the column %s: %s", v.GetName(), fmt.Sprint(v.GetTypeParams()))
		}

		p.Dim = *dim
	}

	if on, err := strconv.ParseBool(props[mmapKey]); err == nil {
		p.OnDisk = &on
	}

	return nil
}
