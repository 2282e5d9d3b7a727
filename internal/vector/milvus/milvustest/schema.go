package milvustest

import (
	"slices"
	"strconv"

	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
)

const (
	maxName   = 255
	maxFields = 64
	maxDim    = 32768
	maxText   = 65535
)

// keywords are no names of fields (pkg/common: FieldNameKeywords).
var keywords = []string{
	"$meta", "like", "exists", "EXISTS", "and", "or", "not", "in", "json_contains", "JSON_CONTAINS", "json_contains_all",
	"JSON_CONTAINS_ALL", "json_contains_any", "JSON_CONTAINS_ANY", "array_contains", "ARRAY_CONTAINS", "array_length", "ARRAY_LENGTH",
	"true", "True", "TRUE", "false", "False", "FALSE", "text_match", "TEXT_MATCH", "phrase_match", "PHRASE_MATCH", "is", "IS", "null", "NULL",
}

// plainName says whether a name is letters, digits and underscores, and begins with no digit (proxy:
// validateCollectionNameOrAlias; the same for fields, roles and more).
func plainName(n string) bool {
	if n == "" || len(n) > maxName || n[0] >= '0' && n[0] <= '9' {
		return false
	}

	for _, c := range n {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}

	return true
}

// checkSchema is what Milvus' proxy does when a collection is created.
func checkSchema(name string, s *schemapb.CollectionSchema) error {
	if !plainName(name) {
		return invalid("Invalid collection name: %s. collection name can only contain numbers, letters and underscores", name)
	}

	if s.GetName() != name {
		return invalid("collection name matches schema name: collection name = %s, schema.Name=%s", name, s.GetName())
	}

	if len(s.GetFields()) > maxFields {
		return invalid("maximum field's number should be limited to %d", maxFields)
	}

	var keys, partitions, vectors int

	for i, f := range s.GetFields() {
		if slices.ContainsFunc(s.GetFields()[:i], func(o *schemapb.FieldSchema) bool { return o.GetName() == f.GetName() }) {
			return invalid("duplicated field name %s found", f.GetName())
		}

		if err := checkField(f); err != nil {
			return err
		}

		if err := checkKey(f); err != nil {
			return err
		}

		keys, partitions, vectors = keys+count(f.GetIsPrimaryKey()), partitions+count(f.GetIsPartitionKey()), vectors+count(isVector(f))
	}

	switch {
	case keys != 1:
		return invalid("there are %d primary keys, and one is needed", keys)
	case partitions > 1:
		return invalid("there are more than one partition key")
	case vectors == 0 || vectors > 4:
		return invalid("schema does not contain vector field, or more than 4")
	}

	return nil
}

func count(b bool) int {
	if b {
		return 1
	}

	return 0
}

// checkKey is about primary and partition keys (proxy: validatePrimaryKey, validatePartitionKey).
func checkKey(f *schemapb.FieldSchema) error {
	if !f.GetIsPrimaryKey() && !f.GetIsPartitionKey() {
		return nil
	}

	switch {
	case f.GetDataType() != schemapb.DataType_Int64 && f.GetDataType() != schemapb.DataType_VarChar:
		return invalid("the data type of a key should be Int64 or VarChar: %s", f.GetName())
	case f.GetNullable():
		return invalid("a key cannot be nullable: %s", f.GetName())
	case f.GetIsPrimaryKey() && f.GetIsPartitionKey():
		return invalid("the partition key field must not be primary field")
	}

	return nil
}

// checkField is about one field (proxy: ValidateField).
func checkField(f *schemapb.FieldSchema) error {
	if !plainName(f.GetName()) || slices.Contains(keywords, f.GetName()) {
		return Err(1701, "Invalid field name: %s: field name invalid[field=%s]", f.GetName(), f.GetName())
	}

	params := values(f.GetTypeParams())

	switch f.GetDataType() {
	case schemapb.DataType_FloatVector:
		dim, err := strconv.Atoi(params["dim"])
		if err != nil || dim < 2 || dim > maxDim {
			return invalid("invalid dimension: %s of field %s. float vector dimension should be in range 2 ~ %d", params["dim"], f.GetName(), maxDim)
		}

		if f.GetNullable() {
			return invalid("vector type not support null: %s", f.GetName())
		}
	case schemapb.DataType_VarChar:
		n, err := strconv.Atoi(params["max_length"])
		if err != nil || n < 1 || n > maxText {
			return invalid("the maximum length specified for the field(%s) should be in (0, %d], but got %s instead", f.GetName(), maxText, params["max_length"])
		}

		if params["enable_match"] == "true" && params["enable_analyzer"] != "true" {
			return invalid("field %s is set to enable match but not enable analyzer", f.GetName())
		}
	case schemapb.DataType_Bool, schemapb.DataType_Int8, schemapb.DataType_Int16, schemapb.DataType_Int32, schemapb.DataType_Int64,
		schemapb.DataType_Float, schemapb.DataType_Double, schemapb.DataType_JSON:
	default:
		return invalid("data type %s is not one that this fake knows", f.GetDataType())
	}

	return nil
}

func isVector(f *schemapb.FieldSchema) bool {
	return f.GetDataType() >= schemapb.DataType_BinaryVector && f.GetDataType() <= schemapb.DataType_ArrayOfVector
}
