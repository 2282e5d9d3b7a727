// Package chroma drives Chroma servers over version 2 of their REST API. It must not know Kubernetes, nor other stores.
//
// An endpoint is http://HOST:PORT or https://HOST:PORT, with /TENANT/DATABASE behind it unless these are the server's own
// default_tenant and default_database. The server must be 1.0 or newer and keep its own indexes: Chroma Cloud and other
// distributed servers build SPANN indexes, of which this driver knows nothing and says so. The server itself asks for no
// credentials, but what stands before it may: a key is sent as X-Chroma-Token, a user and password as basic authentication.
//
// distance is the collection's space: cosine, ip or l2 (the square of the distance). index.m is its max_neighbors,
// index.efConstruction its ef_construction, index.ef its ef_search. The server also takes another max_neighbors later, but
// the graph that is there keeps its own, so here it cannot change. Another ef_search is heeded from the next time that the
// server reads the index from disk: at the latest after a restart. All of a record's metadata can be filtered by, so there
// are no fields to choose; there are no shards, no replicas, no aliases, no logins.
//
// The owner is kept in the collection's metadata, and so is the dimension that was asked for: the server has none before
// the first vector, whose dimension it then takes, right or wrong. Metadata is written as a whole. What else is in it stays,
// but what others write between our reading and writing is lost.
//
// Creating and dropping are one request, describing is two (the collection, then its vectors are counted), altering is two.
package chroma

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Features of Chroma.
var Features = vector.Features{
	MaxDim: 65535, MaxName: 510,
	Distances: []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:   []vector.IndexType{vector.HNSW},
	Tenancies: []vector.Tenancy{vector.Single},
	Index:     vector.AtCreation, M: vector.AtCreation, EfConstruction: vector.AtCreation, Ef: vector.Always,
	Stamp: true,
}

// A driver is a client of one database of one server.
type driver struct {
	*client
}

// Open returns a driver. It implements vector.Namer.
func Open(c vector.Config) (vector.Driver, error) {
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}

	return &driver{client: cl}, nil
}

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	c, err := d.get(ctx, name)
	if err != nil {
		return vector.State{}, err
	}

	s, err := c.state()
	if err != nil {
		return vector.State{}, err
	}

	var n int64
	if err := d.do(ctx, http.MethodGet, "/"+c.ID+"/count", nil, &n); err != nil {
		return vector.State{}, err
	}

	s.Vectors = &n

	return s, nil
}

// Create implements vector.Driver.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	return d.do(ctx, http.MethodPost, "", creation(d.StoreName(s.Name), s), nil)
}

// Alter implements vector.Driver.
func (d *driver) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	c, err := d.get(ctx, want.Name)
	if err != nil {
		return err
	}

	// We are about to write what others may have written, too.
	if now := c.owner(); now != have.Owner && now != want.Owner {
		return vector.Errorf(vector.Owned, "the collection now carries the stamp of %q", now)
	}

	u, needed := c.update(want)
	if !needed {
		return nil
	}

	// By its id, not by its name: a collection that was made anew meanwhile is another one.
	return d.do(ctx, http.MethodPut, "/"+c.ID, u, nil)
}

// Drop implements vector.Driver.
func (d *driver) Drop(ctx context.Context, name string) error {
	err := d.do(ctx, http.MethodDelete, d.pathOf(name), nil, nil)
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}

// StoreName implements vector.Namer. Names of the server have three characters at least, and end in a letter or digit. What
// does not gets an end that names of ours do not have, since there is no dot in them.
func (d *driver) StoreName(name string) string {
	if len(name) < 3 || strings.HasSuffix(name, "-") || strings.HasSuffix(name, "_") {
		return name + ".0"
	}

	return name
}

func (d *driver) get(ctx context.Context, name string) (*collection, error) {
	c := &collection{}

	return c, d.do(ctx, http.MethodGet, d.pathOf(name), nil, c)
}

// pathOf a collection below those of the database.
func (d *driver) pathOf(name string) string { return "/" + url.PathEscape(d.StoreName(name)) }
