package vector

import (
	"context"
	"crypto/tls"
)

// A Driver speaks to one store, over connections that it keeps. It is safe for concurrent use, never retries by itself,
// never outlasts a context, and starts no goroutine per collection. Its errors have a Kind (see Error); the words are the
// store's, without credentials.
//
// It may rely on the caller: specs have passed Features.Check, and Alter is given only what Compare holds for
// mutable.
type Driver interface {
	// Describe returns a collection as it is, with as few requests as the store allows. NotFound if there is none. An
	// alias of this name is not a collection. What can be chosen is told, chosen or not; m and both ef only of an HNSW index.
	Describe(ctx context.Context, name string) (State, error)

	// Create makes a collection with all that was asked for, owner included: whoever sees the collection sees the owner,
	// whenever we die. What a store can only add afterwards is added, or, if we die, the State is Unfinished. Exists if there
	// is a collection or an alias of this name.
	Create(ctx context.Context, s Spec) error

	// Alter brings a collection from what it is to what is wanted, owner included, in whatever is mutable. What is equal, or
	// of no opinion in the Spec, is not touched. Doing it twice is doing it once.
	Alter(ctx context.Context, want Spec, have State) error

	// Drop removes a collection with its data. That there is none is no error.
	Drop(ctx context.Context, name string) error

	// Close closes all connections. Calls under way and later ones fail: Unavailable. Closing twice is
	// closing once.
	Close()
}

// An Aliaser is a Driver of a store in which a collection can be reached by another name.
type Aliaser interface {
	// PointAlias lets an alias point to a collection, from the moment it returns and for every request either before or
	// after, wherever it pointed before. Exists if there is a collection of that name.
	PointAlias(ctx context.Context, alias, collection string) error

	// DropAlias removes an alias. That there is none is no error.
	DropAlias(ctx context.Context, alias string) error
}

// A Granter is a Driver of a store that can make a login which reaches some collections only.
type Granter interface {
	// Grant makes sure that there is a login that can read and write the given collections, search them by the given
	// aliases, and nothing else, and returns how to log in. It is given what it returned the last time, or nothing, and
	// returns the same as long as that works: a new secret only where the old one is lost. Unsupported if this server is
	// not set up for it.
	Grant(ctx context.Context, g Grant, last Access) (Access, error)

	// Revoke removes the login. That there is none is no error.
	Revoke(ctx context.Context, login string) error
}

// A Grant says what a login may reach.
type Grant struct {
	// Login is the name of the login, in the store. The store may have to alter it, the same way each time.
	Login string
	// Collections and Aliases it reaches.
	Collections, Aliases []string
}

// Access is how to log in. It is never logged.
type Access struct {
	User, Password, APIKey string
}

// A Namer is a Driver of a store whose names are not ours: collections and aliases have other names in it.
type Namer interface {
	// StoreName returns the name that a collection or an alias of this name has in the store: what agents must say. It is
	// pure, and injective: two names never become one. Drivers take names as they were before. Without a Namer each name is
	// its own.
	StoreName(name string) string
}

// A Config is where a store is and how to get in.
type Config struct {
	// Endpoint is a URL without credentials; each driver documents its schemes.
	Endpoint string
	// TLS is nil where the endpoint is not reached by TLS, or is with the system's roots.
	TLS *tls.Config

	Access
}

// A Backend is a kind of store.
type Backend struct {
	// Features of the kind.
	Features Features
	// Open returns a driver. It checks the configuration (Invalid) and connects to nothing yet: that is up to the first call.
	Open func(Config) (Driver, error)
}
