package pgvector

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpen(t *testing.T) {
	cases := map[string]struct {
		reason   string
		endpoint string
		ok       bool
	}{
		"Whole":       {"All there is to say.", "postgres://db.example.org:5432/memory?sslmode=verify-full", true},
		"Short":       {"libpq has defaults for the rest.", "postgresql://db.example.org", true},
		"NoScheme":    {"host:port is no URL.", "db.example.org:5432", false},
		"OtherScheme": {"Another protocol.", "https://db.example.org", false},
		"Credentials": {"They would be seen by all who may read the configuration.", "postgres://root:secret@db.example.org/memory", false},
		"Parameter":   {"What libpq does not know.", "postgres://db.example.org/memory?sslmode=perhaps", false},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := Open(vector.Config{Endpoint: tc.endpoint})
			if d != nil {
				d.Close()
			}

			if (err == nil) != tc.ok || err != nil && !vector.Is(err, vector.Invalid) {
				t.Errorf("\n%s\nOpen: %v, want it to work: %t", tc.reason, err, tc.ok)
			}

			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	cases := map[string]struct {
		reason string
		want   vector.Properties
		limits bool
		index  vector.IndexType
		quant  vector.Quantization
	}{
		"Small":        {"32 bits and an index.", vector.Properties{Dim: 2000}, false, vector.HNSW, vector.QuantizationNone},
		"Large":        {"An index of so many dimensions needs 16 bits.", vector.Properties{Dim: 2001}, false, vector.HNSW, vector.Half},
		"Larger":       {"No index takes so many.", vector.Properties{Dim: 4001}, false, vector.Flat, vector.QuantizationNone},
		"LargeFlat":    {"Without an index the vectors stay as they are.", vector.Properties{Dim: 3000, Index: vector.Flat}, false, vector.Flat, vector.QuantizationNone},
		"Contradicted": {"An index of 32 bits was asked for.", vector.Properties{Dim: 2001, Quantization: vector.QuantizationNone}, true, "", ""},
		"TooLarge":     {"An index was asked for.", vector.Properties{Dim: 4001, Index: vector.IVFFlat}, true, "", ""},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := vector.Spec{Name: "c", Properties: tc.want}

			if err := Features.Check(s); vector.Is(err, vector.Unsupported) != tc.limits {
				t.Fatalf("\n%s\nCheck: %v", tc.reason, err)
			}

			if tc.limits {
				return
			}

			got := resolve(s)
			if diff := cmp.Diff([]any{tc.index, tc.quant}, []any{got.Index, got.Quantization}); diff != "" {
				t.Errorf("\n%s\nresolve: -want, +got:\n%s", tc.reason, diff)
			}

			if err := Features.Check(got); err != nil {
				t.Errorf("what is chosen is not possible: %v", err)
			}
		})
	}
}

func TestLiteral(t *testing.T) {
	cases := map[string]string{
		"plain":  `E'plain'`,
		"it's":   `E'it''s'`,
		`a\'b`:   `E'a\\''b'`,
		"a\x00b": `E'ab'`,
	}

	for in, want := range cases {
		if got := literal(in); got != want {
			t.Errorf("literal(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestReadNote(t *testing.T) {
	for comment, ours := range map[string]bool{
		"": false, "The vectors of the shop": false, `{"owner":"x"}`: false, `{"aidispatcher":2}`: false, `{"aidispatcher":1,"owner":"x"}`: true,
	} {
		n := readNote(comment)
		if n.ours() != ours || !ours && n.Comment != comment {
			t.Errorf("readNote(%q) = %+v", comment, n)
		}
	}
}
