// Package weaviate drives Weaviate servers over version 1 of their REST API. It must not know Kubernetes, nor other stores.
//
// An endpoint is http://HOST:PORT or https://HOST:PORT of the REST port, with a path where a proxy wants one. The server
// must be 1.32 or newer, which have aliases. It is shown an API key, where there is one, as a bearer token.
//
// Names. A collection is a class, whose name is a capital and then letters, digits and underscores, and no other class's
// in other case. So a name that is one already stays as it is; any other is written with an escape: "coder-memory" is
// "C_coder__memory" in the store. See StoreName. Weaviate also makes the first letter of a property's name a small one,
// whoever writes or asks it.
//
// Properties. distance is the vector index's distance (L2 is l2-squared), index.type its type, hnsw or flat; one that is
// dynamic is described as none. index.m is maxConnections, index.efConstruction and index.ef are called so; without an
// opinion ef is -1, which has the server choose for each search, and is described as the least that it then chooses.
// shards is desiredCount, where a collection of several tenants has one for each of them; replicas is the replication
// factor. quantization Scalar is rq with 8 bits, Binary is bq and Product pq, all of an HNSW index and Binary of a flat one
// too. rq and bq begin with the first vector. pq learns from vectors: on a server with ASYNC_INDEXING once there are 100,000
// of them, on others never, unless it is turned on when there are some. What is compressed by sq is described as Scalar, and
// by rq with one bit as Binary. tenancy is multiTenancyConfig. An indexed field is a property with indexFilterable: Keyword
// is text as one token, Text is text by words, which can also be searched by BM25. Fields can be added, and not removed.
//
// The owner is kept in the last line of the class's description, with what Weaviate itself does not know: the dimension
// that was asked for, and which properties were, since the server adds one for everything that an agent stores. Before the
// first vector the server accepts any dimension, right or wrong, and from then on describing tells that one.
//
// Describing is four requests: the class, its shards on the nodes, its aliases, and the number of vectors with one of them,
// in GraphQL. Where GraphQL is off, or our key may not read all collections (which it demands), it is two instead of that
// one, and the number is the nodes' estimate, or none while all vectors are still in memory: so it always is of several
// tenants. Creating and dropping are one, altering is two and one for each new field.
//
// Logins are users of the server's database, each with a role of its own: they need RBAC and database users turned on.
// An agent's role has no GraphQL, since that demands to read all collections: it searches over gRPC, as clients do today.
package weaviate

import (
	"context"
	"net/http"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Features of Weaviate.
var Features = vector.Features{
	MaxDim: 65535, MaxName: maxName,
	Distances:     []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:       []vector.IndexType{vector.HNSW, vector.Flat},
	Quantizations: []vector.Quantization{vector.QuantizationNone, vector.Scalar, vector.Binary, vector.Product},
	Tenancies:     []vector.Tenancy{vector.Single, vector.Multi},
	FieldTypes:    []vector.FieldType{vector.Keyword, vector.Text, vector.Integer, vector.Float, vector.Boolean, vector.Datetime},
	Index:         vector.AtCreation, M: vector.AtCreation, EfConstruction: vector.AtCreation, Ef: vector.Always,
	Shards: vector.AtCreation, Replicas: vector.AtCreation, Quantization: vector.Growing, IndexedFields: vector.Growing,
	Stamp: true, Aliases: true, Grants: true,
	Limits: limits,
}

// reserved are names that no property can have.
var reserved = []string{"id", "_id", "_additional"}

// limits implements vector.Features.Limits.
func limits(s vector.Spec) []string {
	var out []string

	if s.Index == vector.Flat {
		if s.M != nil || s.EfConstruction != nil || s.Ef != nil {
			out = append(out, "index.m, index.efConstruction and index.ef are of an HNSW index: leave them out, or index.type")
		}

		if s.Quantization == vector.Scalar || s.Quantization == vector.Product {
			out = append(out, "quantization "+string(s.Quantization)+" needs index.type HNSW: a flat index has only Binary")
		}
	}

	if s.Tenancy == vector.Multi && s.Shards != nil {
		out = append(out, "shards cannot be chosen with tenancy Multi: each tenant is one")
	}

	seen := map[string]string{}

	for _, f := range s.IndexedFields {
		name := propertyName(f.Name)

		switch other, ok := seen[name]; {
		case ok:
			out = append(out, "indexedFields "+other+" and "+f.Name+" are one to it: rename one")
		case contains(reserved, name):
			out = append(out, "indexedFields cannot have "+f.Name+", which it keeps for itself: rename it")
		}

		seen[name] = f.Name
	}

	return out
}

// contains says whether names has one, in whatever case.
func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}

	return false
}

// A driver is a client of one server, or of all nodes of one behind a load balancer.
type driver struct {
	*client
}

// Open returns a driver. It implements vector.Aliaser, vector.Granter and vector.Namer.
func Open(c vector.Config) (vector.Driver, error) {
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}

	return &driver{client: cl}, nil
}

// Create implements vector.Driver.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	return d.do(ctx, http.MethodPost, "/schema", creation(d.StoreName(s.Name), s), nil)
}

// Drop implements vector.Driver. The server answers the same whether there was one; an alias of this name stays.
func (d *driver) Drop(ctx context.Context, name string) error {
	err := d.do(ctx, http.MethodDelete, "/schema/"+d.StoreName(name), nil, nil)
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}

// PointAlias implements vector.Aliaser.
func (d *driver) PointAlias(ctx context.Context, name, collection string) error {
	a := alias{Alias: d.StoreName(name), Class: d.StoreName(collection)}

	// One that is there is moved, in one step. Whether there is one is not asked: mostly there is.
	err := d.do(ctx, http.MethodPut, "/aliases/"+a.Alias, alias{Class: a.Class}, nil)
	if !vector.Is(err, vector.NotFound) || isMissingClass(err) {
		return err
	}

	return d.do(ctx, http.MethodPost, "/aliases", a, nil)
}

// DropAlias implements vector.Aliaser.
func (d *driver) DropAlias(ctx context.Context, name string) error {
	err := d.do(ctx, http.MethodDelete, "/aliases/"+d.StoreName(name), nil, nil)
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}
