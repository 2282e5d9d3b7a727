// Package qdrant is the driver for Qdrant, which it speaks to by gRPC. It must not know Kubernetes, nor any other store.
//
// # Endpoint
//
// http://host:6334 or https://host:6334; 6334 is meant where no port is said. It is the gRPC port: 6333 speaks REST only and
// is refused. The API key of the configuration goes with each request. Qdrant has no users.
//
// The server must be at least 1.16, the first with metadata of collections, which is where the owner is: older ones would
// drop it silently. Its version is asked for once per driver, before the first collection is made or changed.
//
// # Properties
//
//	dim           size of the one unnamed vector. A collection with named vectors is Unsupported: agents would have to name one
//	distance      Cosine, Dot; L2 is Euclid
//	index         HNSW is a graph of m > 0; Flat is m = 0, with which Qdrant builds none and looks at all vectors
//	m             hnsw_config.m, and payload_m, the links within one value of an indexed field
//	efConstruction hnsw_config.ef_construct, from 4. Ef is said in each search, and cannot be chosen here
//	shards        shard_number
//	replicas      replication_factor. A Qdrant that nobody operates makes no further copies of shards that are there: see below
//	quantization  Scalar (int8), Binary, Product (x16). The small copies stay in memory
//	onDisk        on_disk of the vectors
//	tenancy       Multi has a payload index on the keyword tenant, marked is_tenant, by which Qdrant also lays out the disk. One
//	              shard per tenant (custom sharding) is the other way; it suits a few large tenants, and every writer would
//	              have to name, and somebody to make, a shard
//	indexedFields payload indexes. Those of types that have no name here (geo, uuid) are not told, and left alone
//	owner         metadata key aidispatcher, beside the collection's own name and its tenancy
//
// More replicas of an existing collection are only made by whoever operates the cluster (Qdrant's cloud does it by itself).
// Until then the State has fewer shards ready than there are.
//
// # Requests
//
// Create is one request, owner included, and one for each payload index. If it dies in between, Compare finds indexed fields
// missing, and the State is Unfinished if it is the tenants' index, of which the metadata know.
//
// Describe is two requests, and a third where there is more than one shard or replica, for their health. The first finds a
// collection by its aliases, too, and does not say so. What does is the name in the metadata; a collection that has
// none, because somebody else made it, is looked for among all aliases instead of its own: that is one request as well, of
// a longer answer.
//
// Alter is one request, one for each payload index, and does not wait until indexes are built.
//
// The number of vectors is approximate, as Qdrant's is: it counts what is being moved between segments twice. An index of
// which Qdrant says that nothing is left to do is 100 percent done, although small segments never get one: Qdrant looks at all
// of their vectors (indexing_threshold).
//
// # Logins
//
// A login is a token (JWT) signed with the API key: it is made here, nothing is stored in Qdrant, and the same collections and
// aliases make the same token. The server has to be started with service.jwt_rbac, our key must be its api_key, and at
// least 16 bytes long: who holds a token can try keys without asking the server. That the server takes and heeds tokens is
// tried once per driver. A token opens collections by the names in it; an alias is such a name, for reading and writing.
//
// Tokens do not expire, and Revoke cannot take one back: it works until the API key is changed, on the server and in the
// configuration. All others change with it, and are handed out anew. Claims that can be taken back one by one (value_exists)
// cost a look into another collection with each request of an agent, and are not used.
package qdrant
