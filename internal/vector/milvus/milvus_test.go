package milvus

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestOpen(t *testing.T) {
	cases := map[string]struct {
		reason   string
		endpoint string
		target   string
		database string
		kind     vector.Kind
	}{
		"Plain":     {"Milvus' own port is the default.", "http://milvus.example.org", "dns:///milvus.example.org:19530", "", ""},
		"TLS":       {"Behind TLS it is that of https.", "https://milvus.example.org/", "dns:///milvus.example.org:443", "", ""},
		"Database":  {"A path is a database.", "http://localhost:19531/agents", "dns:///localhost:19531", "agents", ""},
		"IPv6":      {"An address may be one of IPv6.", "http://[::1]:19530", "dns:///[::1]:19530", "", ""},
		"NoScheme":  {"Whether there is TLS must be said.", "localhost:19530", "", "", vector.Invalid},
		"Scheme":    {"Nothing else is spoken.", "grpc://localhost:19530", "", "", vector.Invalid},
		"NoHost":    {"There must be a host.", "http:///agents", "", "", vector.Invalid},
		"Login":     {"A password is no part of a URL.", "http://root:Milvus@localhost:19530", "", "", vector.Invalid},
		"LongPath":  {"A database has no slash.", "http://localhost/a/b", "", "", vector.Invalid},
		"Query":     {"There is nothing to ask for.", "http://localhost?a=b", "", "", vector.Invalid},
		"Malformed": {"A URL must be one.", "http://localhost:port", "", "", vector.Invalid},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := Open(vector.Config{Endpoint: tc.endpoint})
			if got := vector.KindOf(err); got != tc.kind {
				t.Fatalf("%s\nOpen(%q): got %v (%s), want %q", tc.reason, tc.endpoint, err, got, tc.kind)
			}

			if err != nil {
				return
			}
			defer d.Close()

			m := d.(*driver)
			if diff := cmp.Diff([]string{tc.target, tc.database}, []string{m.conn.Target(), m.database}); diff != "" {
				t.Errorf("%s\nOpen(%q): -want, +got:\n%s", tc.reason, tc.endpoint, diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	cases := map[string]struct {
		reason string
		status *commonpb.Status
		err    error
		want   vector.Kind
	}{
		"Success":       {"No code is no error.", &commonpb.Status{}, nil, ""},
		"NotFound":      {"", &commonpb.Status{Code: 100}, nil, vector.NotFound},
		"Database":      {"A database that is not there is not a collection that is not there, which would be made.", &commonpb.Status{Code: 800}, nil, vector.Invalid},
		"RateLimit":     {"It says to try again.", &commonpb.Status{Code: 8, Retriable: true}, nil, vector.Unavailable},
		"NewRetriable":  {"A code that we do not know may say so as well.", &commonpb.Status{Code: 4711, Retriable: true}, nil, vector.Unavailable},
		"Resources":     {"That there are too few nodes is nothing that passes, though Milvus says so.", &commonpb.Status{Code: 12, Retriable: true}, nil, vector.QuotaExceeded},
		"Collections":   {"", &commonpb.Status{Code: 102}, nil, vector.QuotaExceeded},
		"NoDisk":        {"", &commonpb.Status{Code: 701}, nil, vector.Unsupported},
		"NotPermitted":  {"", &commonpb.Status{Code: 1401}, nil, vector.PermissionDenied},
		"Unexpected":    {"Most refusals have no code.", &commonpb.Status{Code: 65535}, nil, vector.Invalid},
		"OnlyOldCode":   {"Nor does what is refused by old code have a new one.", &commonpb.Status{ErrorCode: commonpb.ErrorCode_UnexpectedError}, nil, vector.Invalid}, //nolint:staticcheck // It is what old code sends.
		"Unknown":       {"What is not known is not guessed.", &commonpb.Status{Code: 4711}, nil, vector.Unknown},
		"Down":          {"", nil, status.Error(codes.Unavailable, "connection refused"), vector.Unavailable},
		"Slow":          {"", nil, status.Error(codes.DeadlineExceeded, "context deadline exceeded"), vector.Unavailable},
		"WrongPassword": {"", nil, status.Error(codes.Unauthenticated, "auth check failure"), vector.Unauthenticated},
		"NotAllowed":    {"", nil, status.Error(codes.PermissionDenied, "permission deny"), vector.PermissionDenied},
		"OldServer":     {"A server that has no such method cannot do it.", nil, status.Error(codes.Unimplemented, "unknown method AddCollectionField"), vector.Unsupported},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &driver{handshake: &handshake{}}
			if got := vector.KindOf(d.check(tc.status, tc.err)); got != tc.want {
				t.Errorf("%s\ncheck: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestKindsAreDisjoint(t *testing.T) {
	seen := map[int32]vector.Kind{}

	for k, codes := range kinds {
		for _, c := range codes {
			if other, ok := seen[c]; ok {
				t.Errorf("%d is %s and %s", c, k, other)
			}

			seen[c] = k
		}
	}
}

func TestLimits(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	no := false

	cases := map[string]struct {
		reason string
		p      vector.Properties
		want   []string
	}{
		"Nothing":     {"Without opinion everything goes.", vector.Properties{Dim: 2}, nil},
		"Dim":         {"A vector of one dimension is none.", vector.Properties{Dim: 1}, []string{"dim 1 is less than its smallest, 2"}},
		"BinaryAlone": {"The index that has it is chosen.", vector.Properties{Dim: 8, Quantization: vector.Binary}, nil},
		"BinaryHNSW": {"Another index does not have it.", vector.Properties{Dim: 8, Index: vector.HNSW, Quantization: vector.Binary},
			[]string{"index.type HNSW does not go with quantization Binary, but None, Scalar, Half, Product"}},
		"FlatScalar": {"To look at all vectors is to look at all of them.", vector.Properties{Dim: 8, Index: vector.Flat, Quantization: vector.Scalar},
			[]string{"index.type Flat does not go with quantization Scalar, but None"}},
		"MOfIVF": {"Only a graph has links.", vector.Properties{Dim: 8, Index: vector.IVFFlat, M: number(16)},
			[]string{"index.m and index.efConstruction are for index.type HNSW, not IVFFlat"}},
		"MAlone":      {"A graph is the default.", vector.Properties{Dim: 8, M: number(16)}, nil},
		"ProductDim":  {"", vector.Properties{Dim: 10, Quantization: vector.Product}, []string{"quantization Product needs a dim that is a multiple of 4, not 10"}},
		"DiskInMem":   {"", vector.Properties{Dim: 8, Index: vector.DiskANN, OnDisk: &no}, []string{"index.type DiskANN is on disk: onDisk cannot be false"}},
		"OwnColumn":   {"", vector.Properties{Dim: 8, IndexedFields: []vector.Field{{Name: "id", Type: vector.Keyword}}}, []string{"indexedFields id is the name of a column of its own: choose another"}},
		"OtherColumn": {"What agents insert besides is free.", vector.Properties{Dim: 8, IndexedFields: []vector.Field{{Name: "content", Type: vector.Text}}}, nil},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, limits(vector.Spec{Properties: tc.p})); diff != "" {
				t.Errorf("%s\nlimits: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestIndexRoundTrip: what an index is made of says what it is.
func TestIndexRoundTrip(t *testing.T) {
	for _, typ := range types {
		for distance := range metrics {
			want := complete(vector.Properties{Dim: 16, Distance: distance, Index: typ.index, Quantization: typ.quantization})

			params, err := indexParams(want)
			if err != nil {
				t.Fatal(err)
			}

			var got vector.Properties

			readIndex(&got, params)

			want = vector.Properties{Distance: want.Distance, Index: want.Index, Quantization: want.Quantization, M: want.M, EfConstruction: want.EfConstruction}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s %s: -made, +read:\n%s", typ.index, typ.quantization, distance, diff)
			}
		}
	}
}

func TestReadIndexOfOthers(t *testing.T) {
	m, ef := int32(16), int32(200)

	cases := map[string]struct {
		reason string
		params map[string]string
		want   vector.Properties
	}{
		"JSON": {"Some clients send parameters in one.",
			map[string]string{"index_type": "HNSW", "metric_type": "COSINE", "params": `{"M": 16, "efConstruction": "200"}`},
			vector.Properties{Distance: vector.Cosine, Index: vector.HNSW, Quantization: vector.QuantizationNone, M: &m, EfConstruction: &ef}},
		"AutoIndex": {"What Milvus keeps to itself is not known.", map[string]string{"index_type": "AUTOINDEX", "metric_type": "IP"}, vector.Properties{Distance: vector.Dot}},
		"SixBits":   {"Nor what we have no name for.", map[string]string{"index_type": "HNSW_SQ", "sq_type": "SQ6", "metric_type": "l2"}, vector.Properties{Distance: vector.L2, Index: vector.HNSW}},
		"Untold":    {"Nor what is not told.", map[string]string{"index_type": "HNSW"}, vector.Properties{Index: vector.HNSW, Quantization: vector.QuantizationNone}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got vector.Properties

			readIndex(&got, pairs(tc.params))

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nreadIndex: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
