// Package milvus keeps collections in Milvus, from version 2.6. It must not know Kubernetes, nor any other store.
//
// It speaks through the client that is generated from Milvus' own interface definition: the SDK brings the server along,
// some hundred modules, and adds for us nothing but retries, which a driver must not make.
//
// # Endpoint
//
// http://host:19530 or https://host:443; a path is the name of a database (http://host:19530/agents), which must exist. A
// user and password, or an API key, is sent with each request. There is one connection per driver.
//
// # Properties
//
//	name          letters, digits and underscores only: see StoreName
//	dim           2 to 32768: the type parameter of the FloatVector column embedding
//	distance      the index's metric_type: COSINE, IP, L2
//	index         the index on embedding: HNSW (M, efConstruction), IVF_FLAT, DISKANN, FLAT. Ef is given with each search
//	quantization  another type of index: HNSW_SQ (8 bits, 16 bit floats), HNSW_PQ, IVF_SQ8, IVF_PQ, IVF_RABITQ (1 bit)
//	shards        chosen when the collection is made
//	replicas      in memory, while the collection is loaded; as many query nodes must be there. Remembered as the collection's
//	              property aidispatcher.replicas for when it is not
//	onDisk        mmap.enabled of the collection and of the index
//	tenancy       Multi has a column tenant, which is the partition key
//	indexedFields columns that may be null, each with an INVERTED index. Text is searched by words (TEXT_MATCH)
//	owner         the collection's property aidispatcher.owner
//
// The other columns are id, a VarChar and the primary key, and the dynamic field, which takes whatever else is inserted.
// Where Milvus does not tell what it chose (index parameters, mmap), Create writes Milvus' defaults out.
//
// Index, quantization and mmap can be changed only while nobody can search, since the collection must be released: they
// are AtCreation here, and a successor collection is the way without downtime.
//
// # Requests
//
// Create makes the collection, owner included, in one request, then an index per column, then loads it, which goes on after
// Create returned. If it dies on the way the State is Unfinished: so is a collection that somebody released. Milvus takes a
// second creation with equal parameters for a repetition and says that all is well; so that one of two that race learns
// that it lost, each creation has a description of its own.
//
// Describe takes four requests, and one if there is no collection. The number of vectors is approximate: Milvus counts the
// deleted until they are compacted away, and those just written when their segment is sealed.
package milvus
