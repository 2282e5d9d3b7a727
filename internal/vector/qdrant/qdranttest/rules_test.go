package qdranttest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "the-api-key"

// A client makes requests as one who has a key.
type client struct {
	c   pb.CollectionsClient
	p   pb.PointsClient
	ctx func(key string) context.Context
}

func dial(t *testing.T, o Options) client {
	t.Helper()

	conn, err := grpc.NewClient(Start(t, o).Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})

	return client{c: pb.NewCollectionsClient(conn), p: pb.NewPointsClient(conn), ctx: func(key string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "api-key", key)
	}}
}

func (c client) create(key, name string, set ...func(*pb.CreateCollection)) error {
	r := &pb.CreateCollection{CollectionName: name, VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 4, Distance: pb.Distance_Dot})}
	for _, f := range set {
		f(r)
	}

	_, err := c.c.Create(c.ctx(key), r)

	return err
}

func sign(key, claims string) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + enc.EncodeToString([]byte(claims))

	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))

	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

// TestValidation: what the server refuses before it looks at its collections.
func TestValidation(t *testing.T) {
	c := dial(t, Options{})

	cases := map[string]struct {
		reason string
		name   string
		set    func(*pb.CreateCollection)
		want   codes.Code
	}{
		"Good":     {reason: "There is nothing wrong with it."},
		"Longest":  {reason: "255 bytes are allowed.", name: strings.Repeat("x", 255)},
		"TooLong":  {reason: "256 are not.", name: strings.Repeat("x", 256), want: codes.InvalidArgument},
		"Slash":    {reason: "It would be another directory.", name: "a/b", want: codes.InvalidArgument},
		"Parent":   {reason: "It would be another directory.", name: "..", want: codes.InvalidArgument},
		"NoVector": {reason: "It has no dimension.", set: func(r *pb.CreateCollection) { r.VectorsConfig.GetParams().Size = 0 }, want: codes.InvalidArgument},
		"Huge":     {reason: "It has more than 65536.", set: func(r *pb.CreateCollection) { r.VectorsConfig.GetParams().Size = 65537 }, want: codes.InvalidArgument},
		"Distance": {reason: "It must be said.", set: func(r *pb.CreateCollection) { r.VectorsConfig.GetParams().Distance = 0 }, want: codes.InvalidArgument},
		"Ef":       {reason: "It must be at least 4.", set: func(r *pb.CreateCollection) { r.HnswConfig = &pb.HnswConfigDiff{EfConstruct: pb.PtrOf[uint64](3)} }, want: codes.InvalidArgument},
		"Shards":   {reason: "There must be one.", set: func(r *pb.CreateCollection) { r.ShardNumber = pb.PtrOf[uint32](0) }, want: codes.InvalidArgument},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.name == "" {
				tc.name = name
			}

			if tc.set == nil {
				tc.set = func(*pb.CreateCollection) {}
			}

			if err := c.create("", tc.name, tc.set); status.Code(err) != tc.want {
				t.Errorf("%s\nCreate: %v, want %s", tc.reason, err, tc.want)
			}
		})
	}
}

// TestKeys: who is let in, to do what.
func TestKeys(t *testing.T) {
	c := dial(t, Options{APIKey: secret, ReadOnlyKey: "read", Tokens: true})

	if err := c.create(secret, "mine"); err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		reason              string
		key                 string
		read, write, manage codes.Code
	}{
		"All":       {"It is the key.", secret, codes.OK, codes.OK, codes.OK},
		"Reading":   {"It changes nothing.", "read", codes.OK, codes.PermissionDenied, codes.PermissionDenied},
		"Wrong":     {"It is no key.", "wrong", codes.Unauthenticated, codes.Unauthenticated, codes.Unauthenticated},
		"Manager":   {"A token of everything.", sign(secret, `{"access":"m"}`), codes.OK, codes.OK, codes.OK},
		"Reader":    {"A token to look at everything.", sign(secret, `{"access":"r"}`), codes.OK, codes.PermissionDenied, codes.PermissionDenied},
		"Mine":      {"A token of one collection.", sign(secret, `{"access":[{"collection":"mine","access":"rw"}]}`), codes.OK, codes.OK, codes.PermissionDenied},
		"MineRead":  {"A token to look at one.", sign(secret, `{"access":[{"collection":"mine","access":"r"}]}`), codes.OK, codes.PermissionDenied, codes.PermissionDenied},
		"Other":     {"A token of another.", sign(secret, `{"access":[{"collection":"other","access":"rw"}]}`), codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied},
		"Forged":    {"Signed with another key.", sign("other", `{"access":"m"}`), codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied},
		"Expired":   {"It was good until 1970.", sign(secret, `{"access":"m","exp":1}`), codes.PermissionDenied, codes.PermissionDenied, codes.PermissionDenied},
		"Malformed": {"It says what nobody understands.", sign(secret, `{"access":"w"}`), codes.Unauthenticated, codes.Unauthenticated, codes.Unauthenticated},
		"NoClaims":  {"It says nothing.", sign(secret, `{}`), codes.Unauthenticated, codes.Unauthenticated, codes.Unauthenticated},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, read := c.c.Get(c.ctx(tc.key), &pb.GetCollectionInfoRequest{CollectionName: "mine"})
			_, write := c.p.Upsert(c.ctx(tc.key), &pb.UpsertPoints{CollectionName: "mine"})
			manage := c.create(tc.key, "by-"+name)

			got := []codes.Code{status.Code(read), status.Code(write), status.Code(manage)}
			if diff := cmp.Diff([]codes.Code{tc.read, tc.write, tc.manage}, got); diff != "" {
				t.Errorf("%s\n-want, +got for reading, writing, managing:\n%s", tc.reason, diff)
			}
		})
	}

	r, err := c.c.List(c.ctx(cases["Mine"].key), &pb.ListCollectionsRequest{})
	if diff := cmp.Diff([]string{"mine"}, names(r)); diff != "" || err != nil {
		t.Errorf("a list shows what one may not see (%v):\n%s", err, diff)
	}
}

func names(r *pb.ListCollectionsResponse) []string {
	var out []string
	for _, c := range r.GetCollections() {
		out = append(out, c.GetName())
	}

	return out
}

// TestAliases: a request of several actions that fails keeps what came before.
func TestAliases(t *testing.T) {
	c := dial(t, Options{})
	change := func(ops ...*pb.AliasOperations) error {
		_, err := c.c.UpdateAliases(c.ctx(""), &pb.ChangeAliases{Actions: ops})

		return err
	}

	if err := c.create("", "mine"); err != nil {
		t.Fatal(err)
	}

	steps := []struct {
		name string
		ops  []*pb.AliasOperations
		want codes.Code
		left int
	}{
		{"create", []*pb.AliasOperations{pb.NewAliasCreate("alias", "mine")}, codes.OK, 1},
		{"create again", []*pb.AliasOperations{pb.NewAliasCreate("alias", "mine")}, codes.OK, 1},
		{"of an alias", []*pb.AliasOperations{pb.NewAliasCreate("second", "alias")}, codes.NotFound, 1},
		{"named as a collection", []*pb.AliasOperations{pb.NewAliasCreate("mine", "mine")}, codes.AlreadyExists, 1},
		{"rename", []*pb.AliasOperations{pb.NewAliasRename("alias", "next")}, codes.OK, 1},
		{"rename nothing", []*pb.AliasOperations{pb.NewAliasRename("alias", "next")}, codes.NotFound, 1},
		{"delete and create wrongly", []*pb.AliasOperations{pb.NewAliasDelete("next"), pb.NewAliasCreate("next", "nothing")}, codes.NotFound, 0},
		{"delete nothing", []*pb.AliasOperations{pb.NewAliasDelete("next")}, codes.OK, 0},
		{"nothing at all", []*pb.AliasOperations{{}}, codes.InvalidArgument, 0},
	}

	for _, st := range steps {
		if err := change(st.ops...); status.Code(err) != st.want {
			t.Errorf("%s: %v, want %s", st.name, err, st.want)
		}

		if r, err := c.c.ListCollectionAliases(c.ctx(""), &pb.ListCollectionAliasesRequest{CollectionName: "mine"}); err != nil || len(r.GetAliases()) != st.left {
			t.Errorf("%s: there are %v (%v), want %d", st.name, r.GetAliases(), err, st.left)
		}
	}
}

// TestMetadata: they are merged by key, and null takes one away.
func TestMetadata(t *testing.T) {
	for version, want := range map[string]map[string]string{"1.17.0": {"kept": "a", "changed": "b"}, "1.15.3": {}} {
		c := dial(t, Options{Version: version})

		err := c.create("", "mine", func(r *pb.CreateCollection) {
			r.Metadata = map[string]*pb.Value{"kept": pb.NewValueString("a"), "changed": pb.NewValueString("a"), "gone": pb.NewValueString("a")}
		})
		if err != nil {
			t.Fatal(err)
		}

		next := map[string]*pb.Value{"changed": pb.NewValueString("b"), "gone": pb.NewValueNull()}
		if _, err := c.c.Update(c.ctx(""), &pb.UpdateCollection{CollectionName: "mine", Metadata: next}); err != nil {
			t.Fatal(err)
		}

		r, err := c.c.Get(c.ctx(""), &pb.GetCollectionInfoRequest{CollectionName: "mine"})
		if err != nil {
			t.Fatal(err)
		}

		got := map[string]string{}
		for k, v := range r.GetResult().GetConfig().GetMetadata() {
			got[k] = v.GetStringValue()
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want, +got metadata:\n%s", version, diff)
		}
	}
}

// TestPoints: vectors must fit, and are counted.
func TestPoints(t *testing.T) {
	c := dial(t, Options{})
	if err := c.create("", "mine"); err != nil {
		t.Fatal(err)
	}

	upsert := func(p *pb.PointStruct) error {
		_, err := c.p.Upsert(c.ctx(""), &pb.UpsertPoints{CollectionName: "mine", Points: []*pb.PointStruct{p}})

		return err
	}

	for what, err := range map[string]error{
		"another size": upsert(&pb.PointStruct{Id: pb.NewIDNum(1), Vectors: pb.NewVectors(1, 2, 3)}),
		"no vector":    upsert(&pb.PointStruct{Id: pb.NewIDNum(1)}),
		"no id":        upsert(&pb.PointStruct{Vectors: pb.NewVectors(1, 2, 3, 4)}),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}

	for _, id := range []uint64{1, 2, 2} {
		if err := upsert(&pb.PointStruct{Id: pb.NewIDNum(id), Vectors: pb.NewVectors(1, 2, 3, 4)}); err != nil {
			t.Fatal(err)
		}
	}

	if r, err := c.p.Count(c.ctx(""), &pb.CountPoints{CollectionName: "mine"}); err != nil || r.GetResult().GetCount() != 2 {
		t.Errorf("there are %v points (%v), want 2", r.GetResult(), err)
	}

	_, err := c.p.CreateFieldIndex(c.ctx(""), &pb.CreateFieldIndexCollection{
		CollectionName: "mine", FieldName: "f", FieldType: pb.PtrOf(pb.FieldType_FieldTypeInteger),
		FieldIndexParams: pb.NewPayloadIndexParamsKeyword(&pb.KeywordIndexParams{}),
	})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("an index of one type with the parameters of another: %v", err)
	}
}
