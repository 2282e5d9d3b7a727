package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEmbeddings(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	type view struct {
		Code, Vectors, Dim, Tokens int
	}

	cases := map[string]struct {
		reason, body string
		want         view
	}{
		"One":        {"A text becomes a vector of the usual length.", `{"model":"e","input":"one two"}`, view{200, 1, 1536, 2}},
		"Some":       {"Texts become a vector each, as long as asked.", `{"model":"e","dimensions":8,"input":["one two","three"]}`, view{200, 2, 8, 3}},
		"NoWords":    {"A text without words is one too.", `{"model":"e","dimensions":8,"input":"?!"}`, view{200, 1, 8, 1}},
		"Negative":   {"A vector is not shorter than nothing.", `{"dimensions":-1,"input":"x"}`, view{Code: 400}},
		"TooLong":    {"Nor endless.", `{"dimensions":100000,"input":"x"}`, view{Code: 400}},
		"Empty":      {"Nothing has no direction.", `{"input":""}`, view{Code: 400}},
		"NoText":     {"Numbers are no text.", `{"input":[1,2]}`, view{Code: 400}},
		"NoInput":    {"There is something to embed.", `{}`, view{Code: 400}},
		"OnDemand":   {"Trouble can be asked for here too.", `{"model":"error-503","input":"x"}`, view{Code: 503}},
		"BadRequest": {"A request is JSON.", `{`, view{Code: 400}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := do(t, srv, call{path: "/v1/embeddings", body: tc.body})

			var out struct {
				Data  []struct{ Embedding []float64 }
				Usage map[string]int
			}
			if err := json.Unmarshal([]byte(rsp.body), &out); err != nil {
				t.Fatal(err)
			}

			got := view{Code: rsp.code, Vectors: len(out.Data), Tokens: out.Usage["total_tokens"]}
			if len(out.Data) > 0 {
				got.Dim = len(out.Data[0].Embedding)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Equal texts are equal, those that share words are nearer than those that do not, and all are of length one.
func TestEmbed(t *testing.T) {
	for _, dim := range []int{64, 768, 1536, 3072} {
		ada := embed("My name is Ada and I like tea.", dim)

		if diff := cmp.Diff(ada, embed("My name is Ada and I like tea.", dim)); diff != "" {
			t.Errorf("equal texts differ: -first, +second:\n%s", diff)
		}

		if n := dot(ada, ada); math.Abs(n-1) > 1e-6 {
			t.Errorf("the length of a vector of %d is %f", dim, math.Sqrt(n))
		}

		near, far := dot(ada, embed("what is my name?", dim)), dot(ada, embed("Sort this list, please.", dim))
		if near < far+0.2 {
			t.Errorf("in %d dimensions a question with shared words is at %f and one without at %f", dim, near, far)
		}
	}
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}

	return sum
}

// OpenAI's own clients ask for base64.
func TestEmbeddingsBase64(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	var out struct{ Data []struct{ Embedding string } }

	rsp := do(t, srv, call{path: "/v1/embeddings", body: `{"encoding_format":"base64","dimensions":3,"input":"x"}`})
	if err := json.Unmarshal([]byte(rsp.body), &out); err != nil || rsp.code != http.StatusOK {
		t.Fatalf("answered %d %s: %v", rsp.code, rsp.body, err)
	}

	b, err := base64.StdEncoding.DecodeString(out.Data[0].Embedding)
	if err != nil {
		t.Fatal(err)
	}

	got := make([]float32, 3)
	if err := binary.Read(strings.NewReader(string(b)), binary.LittleEndian, got); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(embed("x", 3), got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
