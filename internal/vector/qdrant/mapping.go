package qdrant

import (
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

var distances = map[vector.Distance]pb.Distance{
	vector.Cosine: pb.Distance_Cosine,
	vector.Dot:    pb.Distance_Dot,
	vector.L2:     pb.Distance_Euclid,
}

// distanceOf returns Qdrant's name of a distance that has no other, so that it differs from all that can be wanted.
func distanceOf(p pb.Distance) vector.Distance {
	for d, q := range distances {
		if q == p {
			return d
		}
	}

	return vector.Distance(p.String())
}

// quantization returns how to make vectors smaller, nil for not at all. The copies stay in memory, wherever the
// vectors are: a search looks at them first.
func quantization(q vector.Quantization) *pb.QuantizationConfig {
	ram := pb.PtrOf(true)

	switch q {
	case vector.Scalar:
		return pb.NewQuantizationScalar(&pb.ScalarQuantization{Type: pb.QuantizationType_Int8, AlwaysRam: ram})
	case vector.Binary:
		return pb.NewQuantizationBinary(&pb.BinaryQuantization{AlwaysRam: ram})
	case vector.Product:
		return pb.NewQuantizationProduct(&pb.ProductQuantization{Compression: pb.CompressionRatio_x16, AlwaysRam: ram})
	case vector.QuantizationNone, vector.Half:
	}

	return nil
}

// quantizationDiff is quantization for a collection that has one.
func quantizationDiff(q vector.Quantization) *pb.QuantizationConfigDiff {
	switch c := quantization(q); {
	case c.GetScalar() != nil:
		return pb.NewQuantizationDiffScalar(c.GetScalar())
	case c.GetBinary() != nil:
		return pb.NewQuantizationDiffBinary(c.GetBinary())
	case c.GetProduct() != nil:
		return pb.NewQuantizationDiffProduct(c.GetProduct())
	default:
		return pb.NewQuantizationDiffDisabled()
	}
}

func quantizationOf(c *pb.QuantizationConfig) vector.Quantization {
	switch {
	case c.GetScalar() != nil:
		return vector.Scalar
	case c.GetBinary() != nil:
		return vector.Binary
	case c.GetProduct() != nil:
		return vector.Product
	default:
		return vector.QuantizationNone
	}
}

// A fieldKind is a type of payload fields, as Qdrant takes and tells it.
type fieldKind struct {
	take pb.FieldType
	tell pb.PayloadSchemaType
}

var fieldKinds = map[vector.FieldType]fieldKind{
	vector.Keyword:  {pb.FieldType_FieldTypeKeyword, pb.PayloadSchemaType_Keyword},
	vector.Text:     {pb.FieldType_FieldTypeText, pb.PayloadSchemaType_Text},
	vector.Integer:  {pb.FieldType_FieldTypeInteger, pb.PayloadSchemaType_Integer},
	vector.Float:    {pb.FieldType_FieldTypeFloat, pb.PayloadSchemaType_Float},
	vector.Boolean:  {pb.FieldType_FieldTypeBool, pb.PayloadSchemaType_Bool},
	vector.Datetime: {pb.FieldType_FieldTypeDatetime, pb.PayloadSchemaType_Datetime},
}

// fieldsOf returns the indexed fields, sorted, without that of the tenants and those of types that have no name here.
func fieldsOf(schema map[string]*pb.PayloadSchemaInfo) []vector.Field {
	fields := []vector.Field{}

	for _, name := range slices.Sorted(maps.Keys(schema)) {
		if name == tenantField && ofTenants(schema[name]) {
			continue
		}

		for t, k := range fieldKinds {
			if k.tell == schema[name].GetDataType() {
				fields = append(fields, vector.Field{Name: name, Type: t})
			}
		}
	}

	return fields
}

// ofTenants says that an index keeps tenants apart.
func ofTenants(i *pb.PayloadSchemaInfo) bool {
	return i.GetParams().GetKeywordIndexParams().GetIsTenant()
}

// tenancyOf returns whether a collection has tenants, by its indexes, or by what it was made for, and whether it
// still lacks their index.
func tenancyOf(schema map[string]*pb.PayloadSchemaInfo, made vector.Tenancy) (t vector.Tenancy, unfinished bool) {
	for _, i := range schema {
		if ofTenants(i) {
			return vector.Multi, false
		}
	}

	if made == vector.Multi {
		return vector.Multi, true
	}

	return vector.Single, false
}

// The metadata of a collection have one key of ours, with these in it.
const (
	stampKey      = "aidispatcher"
	ownerKey      = "owner"
	collectionKey = "collection"
	tenancyKey    = "tenancy"
)

// A stamp is what a collection says of itself: whose it is, its own name, and what it was made for.
type stamp struct {
	owner, collection string
	tenancy           vector.Tenancy
}

// metadata of a stamp. They replace our key whole, and leave others alone.
func (s stamp) metadata() map[string]*pb.Value {
	fields := map[string]*pb.Value{collectionKey: pb.NewValueString(s.collection)}

	if s.owner != "" {
		fields[ownerKey] = pb.NewValueString(s.owner)
	}

	if s.tenancy == vector.Multi {
		fields[tenancyKey] = pb.NewValueString(string(s.tenancy))
	}

	return map[string]*pb.Value{stampKey: pb.NewValueFromFields(fields)}
}

func stampOf(info *pb.CollectionInfo) stamp {
	fields := info.GetConfig().GetMetadata()[stampKey].GetStructValue().GetFields()

	return stamp{
		owner:      fields[ownerKey].GetStringValue(),
		collection: fields[collectionKey].GetStringValue(),
		tenancy:    vector.Tenancy(fields[tenancyKey].GetStringValue()),
	}
}
