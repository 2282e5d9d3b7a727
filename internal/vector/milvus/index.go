package milvus

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Names of index and collection parameters in Milvus.
const (
	indexTypeKey      = "index_type"
	metricKey         = "metric_type"
	mKey              = "M"
	efConstructionKey = "efConstruction"
	scalarTypeKey     = "sq_type"
	mmapKey           = "mmap.enabled"
	ownerKey          = "aidispatcher.owner"
	// replicasKey remembers the number of replicas for when the collection is not loaded. Milvus has a property of its own for
	// it, and loads when that changes: it tries forever if there are too few nodes. This one it leaves alone.
	replicasKey = "aidispatcher.replicas"
)

// An indexType is what Milvus calls an index and a quantization together.
type indexType struct {
	index        vector.IndexType
	quantization vector.Quantization
	name         string
	// params beyond those of the graph, from the dimension.
	params func(dim int32) map[string]string
}

// types of indexes. Several share a name, and differ in a parameter.
var types = []indexType{
	{vector.HNSW, vector.QuantizationNone, "HNSW", nothing},
	{vector.HNSW, vector.Scalar, "HNSW_SQ", fixed(scalarTypeKey, "SQ8")},
	{vector.HNSW, vector.Half, "HNSW_SQ", fixed(scalarTypeKey, "FP16")},
	{vector.HNSW, vector.Product, "HNSW_PQ", quantizers},
	{vector.IVFFlat, vector.QuantizationNone, "IVF_FLAT", fixed("nlist", clusters)},
	{vector.IVFFlat, vector.Scalar, "IVF_SQ8", fixed("nlist", clusters)},
	{vector.IVFFlat, vector.Product, "IVF_PQ", func(dim int32) map[string]string {
		p := quantizers(dim)
		p["nlist"] = clusters

		return p
	}},
	{vector.IVFFlat, vector.Binary, "IVF_RABITQ", fixed("nlist", clusters)},
	{vector.DiskANN, vector.QuantizationNone, "DISKANN", nothing},
	{vector.Flat, vector.QuantizationNone, "FLAT", nothing},
}

// Milvus' own defaults, which it does not tell unless they were asked for.
const (
	defaultM              = 30
	defaultEfConstruction = 360
	clusters              = "128"
)

func nothing(int32) map[string]string { return map[string]string{} }

func fixed(key, value string) func(int32) map[string]string {
	return func(int32) map[string]string { return map[string]string{key: value} }
}

// quantizers are the parameters of product quantization: so many parts, each a byte.
func quantizers(dim int32) map[string]string {
	return map[string]string{"m": strconv.Itoa(int(dim / product)), "nbits": "8"}
}

// typeOf returns the type of an index, and whether there is one.
func typeOf(i vector.IndexType, q vector.Quantization) (indexType, bool) {
	n := slices.IndexFunc(types, func(t indexType) bool { return t.index == i && t.quantization == q })
	if n < 0 {
		return indexType{}, false
	}

	return types[n], true
}

// metrics are Milvus' names of distances.
var metrics = map[vector.Distance]string{vector.Cosine: "COSINE", vector.Dot: "IP", vector.L2: "L2"}

// complete returns properties with a value for all that Milvus would choose by itself.
func complete(p vector.Properties) vector.Properties {
	index := vector.HNSW
	if p.Quantization == vector.Binary {
		index = vector.IVFFlat // The only one that has it.
	}

	p = vector.LateInit(p, vector.Properties{
		Distance: vector.Cosine, Index: index, Quantization: vector.QuantizationNone,
		Shards: ptr(int32(1)), Replicas: ptr(int32(1)), Tenancy: vector.Single,
	})
	if p.OnDisk == nil {
		p.OnDisk = ptr(p.Index == vector.DiskANN)
	}

	if p.Index == vector.HNSW {
		p = vector.LateInit(p, vector.Properties{M: ptr(int32(defaultM)), EfConstruction: ptr(int32(defaultEfConstruction))})
	}

	return p
}

// indexParams returns the parameters of the index on the vectors. The properties are complete.
func indexParams(p vector.Properties) ([]*commonpb.KeyValuePair, error) {
	t, ok := typeOf(p.Index, p.Quantization)
	if !ok {
		return nil, vector.Errorf(vector.Unsupported, "Milvus has no index %s with quantization %s", p.Index, p.Quantization)
	}

	params := t.params(p.Dim)
	params[indexTypeKey], params[metricKey] = t.name, metrics[p.Distance]

	if t.index == vector.HNSW {
		params[mKey], params[efConstructionKey] = fmt.Sprint(*p.M), fmt.Sprint(*p.EfConstruction)
	}

	if t.index != vector.DiskANN { // Which Milvus refuses: it is on disk anyway.
		params[mmapKey] = strconv.FormatBool(*p.OnDisk)
	}

	return pairs(params), nil
}

// readIndex completes properties by what an index on the vectors says of itself.
func readIndex(p *vector.Properties, kvs []*commonpb.KeyValuePair) {
	params := values(kvs)

	for d, m := range metrics {
		if strings.EqualFold(params[metricKey], m) {
			p.Distance = d
		}
	}

	name := strings.ToUpper(params[indexTypeKey])

	for _, t := range types {
		if t.name != name {
			continue
		}

		p.Index = t.index
		if sq := t.params(0)[scalarTypeKey]; sq == "" || strings.EqualFold(params[scalarTypeKey], sq) {
			p.Quantization = t.quantization
		}
	}

	if p.Index == vector.HNSW {
		p.M, p.EfConstruction = number(params[mKey]), number(params[efConstructionKey])
	}
}

// values returns parameters by their names. Some clients send those of an index as one, in JSON.
func values(kvs []*commonpb.KeyValuePair) map[string]string {
	out := make(map[string]string, len(kvs))

	for _, kv := range kvs {
		out[kv.GetKey()] = kv.GetValue()
	}

	var more map[string]any
	if json.Unmarshal([]byte(out["params"]), &more) == nil {
		for k, v := range more {
			if _, ok := out[k]; !ok {
				out[k] = fmt.Sprint(v)
			}
		}
	}

	return out
}

// pairs returns parameters sorted by name.
func pairs(params map[string]string) []*commonpb.KeyValuePair {
	out := make([]*commonpb.KeyValuePair, 0, len(params))
	for _, k := range slices.Sorted(maps.Keys(params)) {
		out = append(out, &commonpb.KeyValuePair{Key: k, Value: params[k]})
	}

	return out
}

func number(s string) *int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return nil
	}

	return ptr(int32(n))
}

func ptr[T any](v T) *T { return &v }
