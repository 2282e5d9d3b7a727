// Package pgvector keeps collections in PostgreSQL with the extension pgvector. It must not know other stores, nor
// Kubernetes.
//
// An endpoint is postgres://host:5432/database, with sslmode and other parameters as libpq has them. PostgreSQL 15 or later
// with pgvector 0.7 or later; the extension is created where the login may. Nothing depends on the session, so that
// PgBouncer may stand in between.
//
// A collection N is the table "N" in a schema "N" of its own, so that a login can be let into just that:
//
//	id text, embedding vector(dim) or halfvec(dim), content text, metadata jsonb, and tenant text of several tenants
//
// A name with a dot is a table that others made: schema.table, with one column of type vector or halfvec. An alias A is a
// view "A" in a marked schema "A". The owner and the distance stand in the table's comment, as JSON; what else there is to
// know stands in the catalogs. An indexed field is an index on an expression over metadata, and its comment says which.
//
// Describe is one request, and so is each Create, Drop, and change of an alias or login after a look at what is there. Each
// is one string of statements, which PostgreSQL takes as one transaction.
package pgvector
