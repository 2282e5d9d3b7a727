package push

import (
	"math"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of remote write 1.0's messages (prometheus.WriteRequest, TimeSeries, Label, Sample), of which three are
// all there is to write. The messages' own package would bring Prometheus along.
const (
	fieldSeries    = 1 // of WriteRequest
	fieldLabels    = 1 // of TimeSeries
	fieldSamples   = 2 // of TimeSeries
	fieldName      = 1 // of Label
	fieldValue     = 2 // of Label
	fieldSample    = 1 // of Sample: a double
	fieldTimestamp = 2 // of Sample: milliseconds
)

// staleNaN is the value that ends a series: a query stops to see it at once, and not after the lookback of 5 minutes.
const staleNaN uint64 = 0x7ff0000000000002

// A point is a value's bits at a time in milliseconds since 1970.
type point struct {
	bits uint64
	at   int64
}

// An item is a series in a push, with the points to send, the older ones first.
type item struct {
	labels string
	points [3]point
	n      int
}

func (i *item) add(bits uint64, at int64) {
	i.points[i.n] = point{bits: bits, at: at}
	i.n++
}

// A message is a request's body. Its buffers are kept from push to push.
type message struct{ plain, packed []byte }

// encode returns the items as a snappy block, which is valid until the next call.
func (m *message) encode(items []item) []byte {
	b := m.plain[:0]

	for _, i := range items {
		size := len(i.labels)
		for _, p := range i.points[:i.n] {
			size += 1 + protowire.SizeBytes(pointSize(p))
		}

		b = protowire.AppendTag(b, fieldSeries, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		b = append(b, i.labels...)

		for _, p := range i.points[:i.n] {
			b = protowire.AppendTag(b, fieldSamples, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(pointSize(p))) //nolint:gosec // A size is not negative.
			b = protowire.AppendTag(b, fieldSample, protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, p.bits)
			b = protowire.AppendTag(b, fieldTimestamp, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(p.at)) //nolint:gosec // How an int64 is spelled.
		}
	}

	m.plain = b
	m.packed = snappy.Encode(m.packed[:cap(m.packed)], b)

	return m.packed
}

func pointSize(p point) int {
	return 1 + 8 + 1 + protowire.SizeVarint(uint64(p.at)) //nolint:gosec // How an int64 is spelled.
}

func bits(v float64) uint64 { return math.Float64bits(v) }
