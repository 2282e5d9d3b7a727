package weaviate

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestOpen(t *testing.T) {
	cases := map[string]struct {
		reason string
		config vector.Config
		api    string
		want   vector.Kind
	}{
		"HTTP":        {"A host and port is an endpoint.", vector.Config{Endpoint: "http://weaviate:8080"}, "http://weaviate:8080/v1", ""},
		"HTTPS":       {"So it is over TLS.", vector.Config{Endpoint: "https://weaviate/"}, "https://weaviate/v1", ""},
		"Path":        {"A proxy may want a path.", vector.Config{Endpoint: "https://example.org/a%2Fb/"}, "https://example.org/a%2Fb/v1", ""},
		"Version":     {"Who names the version means the same.", vector.Config{Endpoint: "https://example.org/v1"}, "https://example.org/v1", ""},
		"Nothing":     {"No endpoint is none.", vector.Config{}, "", vector.Invalid},
		"NoScheme":    {"Without a scheme a port may be taken for a path.", vector.Config{Endpoint: "weaviate:8080"}, "", vector.Invalid},
		"OtherScheme": {"gRPC is for agents.", vector.Config{Endpoint: "grpc://weaviate:50051"}, "", vector.Invalid},
		"NoHost":      {"A host is needed.", vector.Config{Endpoint: "http://:8080"}, "", vector.Invalid},
		"NoURL":       {"What is no URL is not told, since there may be a password in it.", vector.Config{Endpoint: "http://user:sec%ret@h"}, "", vector.Invalid},
		"Credentials": {"Credentials belong into a Secret.", vector.Config{Endpoint: "http://user:secret@weaviate"}, "", vector.Invalid},
		"Query":       {"A query would be dropped in silence.", vector.Config{Endpoint: "http://weaviate?tenant=a"}, "", vector.Invalid},
		"Password": {
			"Weaviate takes a key.",
			vector.Config{Endpoint: "http://weaviate:8080", Access: vector.Access{User: "u", Password: "secret"}}, "", vector.Invalid,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := Open(tc.config)

			api := ""
			if err == nil {
				api = d.(*driver).api
				d.Close()
			}

			if diff := cmp.Diff(tc.api, api); diff != "" {
				t.Errorf("\n%s\n-want, +got API:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.want, vector.KindOf(err)); diff != "" || err != nil && strings.Contains(err.Error(), "sec") && !strings.Contains(err.Error(), "Secret") {
				t.Errorf("\n%s\n-want, +got kind of %v:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestStoreName(t *testing.T) {
	cases := map[string]struct {
		reason string
		want   string
	}{
		"Documents":    {"A class's name stays, so that a class can be imported.", "Documents"},
		"My_Class2":    {"So it does with anything that it can have.", "My_Class2"},
		"coder-memory": {"A dash is two underscores.", "C_coder__memory"},
		"coder_memory": {"An underscore is not.", "C_coder_0memory"},
		"coderMemory":  {"A capital has an underscore before it, since the server knows no case.", "C_coder_Memory"},
		"C_x":          {"What begins like an escape is escaped.", "C__C_0x"},
		"a.b":          {"Anything else is in hexadecimal.", "C_a_12eb"},
		"":             {"Even nothing is something.", "C_"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, storeName(name)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(name, nameOf(tc.want)); diff != "" {
				t.Errorf("\n%s\n-want, +got on the way back:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestNamesOfAny holds the mapping of names to what vector.Namer promises, and to what the server accepts.
func TestNamesOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few letters, so that there are many near misses.
		names := rapid.OneOf(rapid.StringMatching(`[abABC_01-]{0,8}`), rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,62}`), rapid.StringN(0, 63, 63))
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		x, y := storeName(a), storeName(b)

		if got := nameOf(x); got != a {
			t.Fatalf("%q becomes %q, and that %q", a, x, got)
		}

		// The server refuses those that a class has already, but for the case.
		if a != b && strings.EqualFold(x, y) && (a != x || b != y) {
			t.Fatalf("%q and %q become %q and %q, which are one to the server", a, b, x, y)
		}

		if !className.MatchString(x) || len(x) > maxClass {
			t.Fatalf("%q becomes %q, which is no class's name", a, x)
		}

		// What others named is not taken for what it is not.
		seen := rapid.StringMatching(`(C_)?[A-C][abA_01]{0,6}`).Draw(t, "seen")
		if name := nameOf(seen); name != seen && storeName(name) != seen {
			t.Fatalf("%q is taken for %q, which is %q", seen, name, storeName(name))
		}
	})
}

func TestUserName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logins := rapid.OneOf(rapid.StringMatching(`[aA_/-]{0,5}`), rapid.String())
		a, b := logins.Draw(t, "a"), logins.Draw(t, "b")
		x := userName(a)

		if !strings.HasPrefix(x, ours) || len(x) > maxUser || strings.Trim(x, "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q becomes %q, which is no user's name", a, x)
		}

		if a != b && x == userName(b) {
			t.Fatalf("%q and %q both become %q", a, b, x)
		}
	})
}

func TestStamp(t *testing.T) {
	cases := map[string]struct {
		reason      string
		description string
		want        stamp
		text        string
	}{
		"None":     {"What somebody wrote is theirs.", "Of the archive.\nSecond line.", stamp{}, "Of the archive.\nSecond line."},
		"Ours":     {"The last line is ours.", `aidispatcher: {"owner":"o","dim":8,"fields":[]}`, stamp{Owner: "o", Dim: 8, Fields: []string{}}, ""},
		"Both":     {"What is before it is theirs.", "A.\nB.\n" + `aidispatcher: {"dim":8}`, stamp{Dim: 8}, "A.\nB."},
		"Broken":   {"What cannot be read is nobody's.", "A.\naidispatcher: {", stamp{}, "A.\naidispatcher: {"},
		"NotFirst": {"A line in between is theirs.", `aidispatcher: {"owner":"o"}` + "\nB.", stamp{}, `aidispatcher: {"owner":"o"}` + "\nB."},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, text := stampOf(tc.description)
			if diff := cmp.Diff(tc.want, got); diff != "" || text != tc.text {
				t.Errorf("\n%s\ntext %q, want %q; -want, +got:\n%s", tc.reason, text, tc.text, diff)
			}
		})
	}
}

// TestStampOfAny writes stamps under any text and reads them.
func TestStampOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamp{Owner: rapid.String().Draw(t, "owner"), Dim: rapid.Int32Min(0).Draw(t, "dim"), Fields: rapid.SliceOf(rapid.String()).Draw(t, "fields")}
		text := rapid.String().Draw(t, "text")

		got, rest := stampOf(want.under(text))
		if diff := cmp.Diff(want, got); diff != "" || rest != text {
			t.Fatalf("text %q, want %q; -want, +got:\n%s", rest, text, diff)
		}
	})
}

func TestKindOf(t *testing.T) {
	cases := map[string]struct {
		reason string
		status int
		words  string
		want   vector.Kind
	}{
		"WrongKey":      {"The key is wrong.", http.StatusUnauthorized, "unauthorized: invalid api key", vector.Unauthenticated},
		"Forbidden":     {"It may not do this.", http.StatusForbidden, "rbac: authorization, forbidden action: user 'u' has insufficient permissions", vector.PermissionDenied},
		"ClassExists":   {"There is a class.", http.StatusUnprocessableEntity, "class name Coder already exists", vector.Exists},
		"OtherCase":     {"There is one in other case.", http.StatusUnprocessableEntity, `class already exists: found similar class "Coder"`, vector.Exists},
		"AliasExists":   {"There is an alias.", http.StatusUnprocessableEntity, "alias name A_1 already exists", vector.Exists},
		"UserExists":    {"There is a user.", http.StatusConflict, "user 'agent-1' already exists", vector.Exists},
		"MissingClass":  {"An alias to nothing.", http.StatusUnprocessableEntity, "class does not exist: bad request", vector.NotFound},
		"TooMany":       {"It allows no more.", http.StatusUnprocessableEntity, "cannot create collection: maximum number of collections (1) reached - please", vector.QuotaExceeded},
		"TooFewNodes":   {"It has no more nodes.", http.StatusUnprocessableEntity, "init sharding state: could not find enough weaviate nodes for replication: 1 available, 2 requested", vector.QuotaExceeded},
		"DiskFull":      {"It closes shards before disks are full.", http.StatusInternalServerError, "store is read-only due to: disk usage too high", vector.QuotaExceeded},
		"Settling":      {"It is still at what it was told before.", http.StatusInternalServerError, "store is read-only due to: UpdateVectorIndexConfig", vector.Unavailable},
		"Immutable":     {"It cannot change this.", http.StatusUnprocessableEntity, `bq is immutable: attempted change from "false" to "true"`, vector.ImmutableMismatch},
		"NoUsers":       {"It is not set up for users.", http.StatusUnprocessableEntity, "db user management is not enabled", vector.Unsupported},
		"NoLeader":      {"It is electing.", http.StatusUnprocessableEntity, "leader not found", vector.Unavailable},
		"Broken":        {"It may work the next time.", http.StatusInternalServerError, "something", vector.Unavailable},
		"Busy":          {"It asks to wait.", http.StatusTooManyRequests, "429 Too many requests", vector.Unavailable},
		"Refused":       {"The rest is our fault.", http.StatusUnprocessableEntity, "'Coder-2' is not a valid class name", vector.Invalid},
		"GatewayLogins": {"A proxy before it may ask who we are.", http.StatusProxyAuthRequired, "", vector.Unauthenticated},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, kindOf(tc.status, tc.words)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	n := int32(8)
	field := func(names ...string) (fs []vector.Field) {
		for _, name := range names {
			fs = append(fs, vector.Field{Name: name, Type: vector.Keyword})
		}

		return fs
	}

	cases := map[string]struct {
		reason string
		p      vector.Properties
		want   int
	}{
		"Nothing":    {"Who wants nothing in particular gets it.", vector.Properties{}, 0},
		"Graph":      {"A graph has its numbers.", vector.Properties{Index: vector.HNSW, M: &n, Quantization: vector.Product}, 0},
		"Flat":       {"A flat index has no graph, and one quantization.", vector.Properties{Index: vector.Flat, Ef: &n, Quantization: vector.Scalar}, 2},
		"FlatBinary": {"This one.", vector.Properties{Index: vector.Flat, Quantization: vector.Binary}, 0},
		"Tenants":    {"Tenants are the shards.", vector.Properties{Tenancy: vector.Multi, Shards: &n}, 1},
		"Twins":      {"The first letter's case is lost.", vector.Properties{IndexedFields: field("Topic", "topic", "TOPIC")}, 1},
		"Reserved":   {"Some names are the server's.", vector.Properties{IndexedFields: field("id", "ID", "_additional")}, 3},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := limits(vector.Spec{Properties: tc.p}); len(got) != tc.want {
				t.Errorf("\n%s\ngot %d limits, want %d: %q", tc.reason, len(got), tc.want, got)
			}
		})
	}
}

func TestNodes(t *testing.T) {
	n := func(v int32) *int32 { return &v }
	count := func(v int64) *int64 { return &v }
	two := vector.Properties{Shards: n(2), Replicas: n(1)}
	ready := shard{Name: "a", Status: "READY", Objects: 30}

	type node = struct {
		Status string  `json:"status"`
		Shards []shard `json:"shards"`
	}

	cases := map[string]struct {
		reason string
		nodes  []node
		have   vector.Properties
		want   vector.State
	}{
		"Ready": {
			"All is well.", []node{{"HEALTHY", []shard{ready, {Name: "b", Status: "LAZY_LOADING", Objects: 20}}}}, two,
			vector.State{Vectors: count(50), Approximate: true, IndexState: vector.IndexReady, ShardsReady: 2, ShardsTotal: 2},
		},
		"Replicas": {
			"Replicas of a shard have the same vectors, more or less.",
			[]node{{"HEALTHY", []shard{ready}}, {"HEALTHY", []shard{{Name: "a", Status: "READY", Objects: 29}}}}, vector.Properties{Shards: n(1), Replicas: n(2)},
			vector.State{Vectors: count(30), Approximate: true, IndexState: vector.IndexReady, ShardsReady: 2, ShardsTotal: 2},
		},
		"Down": {
			"A node that is down lists no shards.", []node{{"HEALTHY", []shard{ready}}, {"UNAVAILABLE", nil}}, two,
			vector.State{Vectors: count(30), Approximate: true, IndexState: vector.IndexReady, ShardsReady: 1, ShardsTotal: 2},
		},
		"ReadOnly": {
			"A shard that takes no writes is not ready.", []node{{"HEALTHY", []shard{ready, {Name: "b", Status: "READONLY"}}}}, two,
			vector.State{Vectors: count(30), Approximate: true, IndexState: vector.IndexReady, ShardsReady: 1, ShardsTotal: 2},
		},
		"Indexing": {
			"What waits is not indexed.", []node{{"HEALTHY", []shard{ready, {Name: "b", Status: "INDEXING", Objects: 20, Queue: 10}}}}, two,
			vector.State{Vectors: count(50), Approximate: true, IndexState: vector.IndexBuilding, IndexProgress: n(80), ShardsReady: 2, ShardsTotal: 2},
		},
		"Waiting": {
			"More may wait than is counted so far.", []node{{"HEALTHY", []shard{{Name: "a", Status: "READY", Objects: 1, Queue: 100}}}}, vector.Properties{},
			vector.State{Vectors: count(1), Approximate: true, IndexState: vector.IndexBuilding, IndexProgress: n(0), ShardsReady: 1, ShardsTotal: 1},
		},
		"NoTenants": {"No tenant, no shard.", []node{{"HEALTHY", nil}}, vector.Properties{}, vector.State{IndexState: vector.IndexReady}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := vector.State{Properties: tc.have}
			tc.want.Properties = tc.have
			nodes{tc.nodes}.tell(&got)

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
