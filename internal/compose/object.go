package compose

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"
)

// An object is a Kubernetes object, or a part of one, as it is written in a manifest. A value that is nil, whatever
// its type, is absent: so a field that nobody set never shows up as a zero that Crossplane would then own.
type object map[string]any

// A list is a list of a Kubernetes object.
type list []any

// asStruct returns o as the message that a function answers with. We convert ourselves because the response is most of
// what a call costs, and because fragments of the catalog are kept as messages already.
func asStruct(o object) *structpb.Struct {
	fields := make(map[string]*structpb.Value, len(o))

	for k, v := range o {
		if pv := asValue(v); pv != nil {
			fields[k] = pv
		}
	}

	return &structpb.Struct{Fields: fields}
}

// asValue returns v as a message, or nil where v is absent. A type that is not listed is a mistake in this package.
func asValue(v any) *structpb.Value { //nolint:gocyclo // One flat switch over types.
	switch t := v.(type) {
	case nil:
		return nil
	case *structpb.Value:
		return t
	case string:
		return structpb.NewStringValue(t)
	case bool:
		return structpb.NewBoolValue(t)
	case int:
		return structpb.NewNumberValue(float64(t))
	case int32:
		return structpb.NewNumberValue(float64(t))
	case int64:
		return structpb.NewNumberValue(float64(t))
	case *int32:
		if t == nil {
			return nil
		}

		return structpb.NewNumberValue(float64(*t))
	case *int64:
		if t == nil {
			return nil
		}

		return structpb.NewNumberValue(float64(*t))
	case object:
		if t == nil {
			return nil
		}

		return structpb.NewStructValue(asStruct(t))
	case list:
		return asList(t)
	default:
		panic(fmt.Sprintf("a composed object cannot hold a %T", v))
	}
}

func asList(l list) *structpb.Value {
	if l == nil {
		return nil
	}

	values := make([]*structpb.Value, 0, len(l))

	for _, e := range l {
		if pv := asValue(e); pv != nil {
			values = append(values, pv)
		}
	}

	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

// orNil returns s, or nil where it is empty: an empty string that nobody wrote is absent.
func orNil(s string) any {
	if s == "" {
		return nil
	}

	return s
}

// field returns what stands at a path of s, or nil.
func field(s *structpb.Struct, path ...string) *structpb.Value {
	for i, p := range path {
		v := s.GetFields()[p]
		if i == len(path)-1 {
			return v
		}

		s = v.GetStructValue()
	}

	return nil
}

// text returns the string at a path of s, or "".
func text(s *structpb.Struct, path ...string) string {
	return field(s, path...).GetStringValue()
}

// number returns the number at a path of s, or nil where there is none.
func number(s *structpb.Struct, path ...string) *int64 {
	v, ok := field(s, path...).GetKind().(*structpb.Value_NumberValue)
	if !ok {
		return nil
	}

	n := int64(v.NumberValue)

	return &n
}

// A condition as it was observed. The zero value is a condition that was not.
type condition struct {
	Status, Reason, Message, Time string
}

func (c condition) isTrue() bool { return c.Status == "True" }

// conditionOf returns a condition of an observed object.
func conditionOf(s *structpb.Struct, typ string) condition {
	for _, v := range field(s, "status", "conditions").GetListValue().GetValues() {
		c := v.GetStructValue()
		if text(c, "type") == typ {
			return condition{Status: text(c, "status"), Reason: text(c, "reason"), Message: text(c, "message"), Time: text(c, "lastTransitionTime")}
		}
	}

	return condition{}
}
