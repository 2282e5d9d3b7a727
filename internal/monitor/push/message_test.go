package push

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// A told is a series as a server reads it.
type told struct {
	Labels string
	Points []point
}

// decode reads a request's body, as a server does.
func decode(body []byte) ([]told, error) {
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, err
	}

	var out []told

	err = fields(plain, func(n protowire.Number, v []byte, _ uint64) error {
		if n != fieldSeries {
			return errors.New("a field of the request is unknown")
		}

		s, err := decodeSeries(v)
		out = append(out, s)

		return err
	})

	return out, err
}

func decodeSeries(b []byte) (told, error) {
	var (
		names []string
		s     told
	)

	err := fields(b, func(n protowire.Number, v []byte, _ uint64) error {
		if n == fieldSamples {
			var p point

			s.Points = append(s.Points, p)

			return fields(v, func(n protowire.Number, _ []byte, x uint64) error {
				if p := &s.Points[len(s.Points)-1]; n == fieldSample {
					p.bits = x
				} else {
					p.at = int64(x)
				}

				return nil
			})
		}

		return fields(v, func(n protowire.Number, v []byte, _ uint64) error {
			if n == fieldName {
				names = append(names, string(v))
				s.Labels += string(v) + "="
			} else {
				s.Labels += string(v) + ","
			}

			return nil
		})
	})

	if !slices.IsSortedFunc(names, cmp.Compare[string]) {
		return s, errors.New("the labels are not sorted")
	}

	return s, err
}

// fields calls f with each field of a message: its bytes, or its number.
func fields(b []byte, f func(n protowire.Number, v []byte, x uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}

		b = b[n:]

		var (
			v []byte
			x uint64
		)

		switch typ {
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		case protowire.Fixed64Type:
			x, n = protowire.ConsumeFixed64(b)
		case protowire.VarintType:
			x, n = protowire.ConsumeVarint(b)
		default:
			n = -1
		}

		if n < 0 {
			return protowire.ParseError(n)
		}

		if err := f(num, v, x); err != nil {
			return err
		}

		b = b[n:]
	}

	return nil
}

// What is encoded is what is decoded, whatever was encoded before.
func TestEncode(t *testing.T) {
	var m message

	rapid.Check(t, func(t *rapid.T) {
		var (
			items []item
			want  []told
		)

		for range rapid.IntRange(0, 20).Draw(t, "series") {
			name := rapid.StringMatching(`[a-z_]{1,20}`).Draw(t, "name")
			value := rapid.StringN(1, 200, -1).Draw(t, "value")
			i := item{labels: string(appendLabels(nil, []label{{name, value}, {"empty", ""}}))}
			s := told{Labels: name + "=" + value + ","}

			for range rapid.IntRange(1, 3).Draw(t, "points") {
				p := point{
					bits: rapid.OneOf(rapid.Uint64(), rapid.Just(staleNaN), rapid.Just(math.Float64bits(0))).Draw(t, "bits"),
					at:   rapid.Int64Range(0, 1<<42).Draw(t, "at"),
				}
				i.add(p.bits, p.at)
				s.Points = append(s.Points, p)
			}

			items, want = append(items, i), append(want, s)
		}

		got, err := decode(m.encode(items))
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(point{})); err != nil || diff != "" {
			t.Fatalf("error %v, -want, +got:\n%s", err, diff)
		}
	})
}

// Labels repeat themselves, so a push is a small part of its figures' size.
func TestEncodeIsSmall(t *testing.T) {
	var (
		m     message
		items []item
	)

	for range 300 {
		i := item{labels: string(appendLabels(nil, []label{{"__name__", "agent_tokens_total"}, {"dispatcher", "pool"}, {"pod", strings.Repeat("p", 40)}}))}
		i.add(bits(1), 1_700_000_000_000)
		items = append(items, i)
	}

	if n := len(m.encode(items)); n > len(m.plain)/4 {
		t.Errorf("%d bytes were packed to %d", len(m.plain), n)
	}
}
