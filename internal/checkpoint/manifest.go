package checkpoint

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Position is where a manifest stands among its slot's: the later has the higher epoch, and within one the higher
// sequence. Both start at 1.
type Position struct {
	Epoch    int64 `json:"epoch"`
	Sequence int64 `json:"sequence"`
}

// Compare returns -1, 0 or 1, as p is before, at or after q.
func (p Position) Compare(q Position) int {
	if p.Epoch != q.Epoch {
		return compareNumbers(p.Epoch, q.Epoch)
	}
	return compareNumbers(p.Sequence, q.Sequence)
}

func compareNumbers(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// String returns the position as it stands in names, which sort as positions do.
func (p Position) String() string { return fmt.Sprintf("%010d-%010d", p.Epoch, p.Sequence) }

var (
	positionName = regexp.MustCompile(`^(\d{10})-(\d{10})$`)
	epochName    = regexp.MustCompile(`^(\d{10})\.json$`)
)

// ParsePosition reads what String writes.
func ParsePosition(s string) (Position, error) {
	m := positionName.FindStringSubmatch(s)
	if m == nil {
		return Position{}, fmt.Errorf("a position is ten digits, a dash and ten digits: %w", ErrInvalid)
	}
	e, _ := strconv.ParseInt(m[1], 10, 64) // Ten digits always fit.
	q, _ := strconv.ParseInt(m[2], 10, 64) // As above.
	if e == 0 || q == 0 {
		return Position{}, fmt.Errorf("epochs and sequences start at 1: %w", ErrInvalid)
	}
	return Position{Epoch: e, Sequence: q}, nil
}

// A Manifest is one checkpoint of a slot. All of it but the chunks is plain text to who can read the store.
type Manifest struct {
	Version  int    `json:"version"`
	Slot     string `json:"slot"`
	Position        // Where it stands.
	// Writer is random: it tells apart two who believe they own the same epoch.
	Writer string `json:"writer"`
	// Time of the commit, by the writer's clock. Nothing is ordered by it.
	Time time.Time `json:"time"`
	// Reason is why it was saved, from a closed set of the caller's.
	Reason string `json:"reason"`
	// Drain is the id of the drain that it answers, if one.
	Drain string `json:"drain,omitempty"`
	// Files and Bytes are how many files the state has, and how long they are together.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	// Stored is how many bytes this save added to the store.
	Stored int64 `json:"stored"`
	// Parent is the manifest that the state grew from; nil for a slot's first.
	Parent *Position `json:"parent,omitempty"`
	// Tree are the chunks of the tree, in order.
	Tree []ID `json:"tree"`
	// Lists are chunks of ids, 32 bytes each, sorted: every chunk that the state needs. So a sweep need not know trees.
	Lists []ID `json:"lists"`
}

func slotPrefix(slot string) string      { return "slots/" + slot + "/" }
func manifestsPrefix(slot string) string { return slotPrefix(slot) + "manifests/" }
func epochsPrefix(slot string) string    { return slotPrefix(slot) + "epochs/" }

func manifestName(slot string, p Position) string {
	return manifestsPrefix(slot) + p.String() + ".json"
}

func epochObject(slot string, epoch int64) string {
	return fmt.Sprintf("%s%010d.json", epochsPrefix(slot), epoch)
}

// Manifest returns one manifest, proven by its signature. That its chunks are there is not proven: see Verify.
func (r *Repository) Manifest(ctx context.Context, slot string, p Position) (Manifest, error) {
	if err := checkSlot(slot); err != nil {
		return Manifest{}, err
	}
	name := manifestName(slot, p)
	doc, err := r.store.read(ctx, name)
	if err != nil {
		return Manifest{}, fmt.Errorf("cannot read manifest %s of slot %s: %w", p, slot, err)
	}
	var m Manifest
	if err := openDocument(r.keys.mac, name, doc, &m); err != nil {
		return Manifest{}, fmt.Errorf("cannot take manifest %s of slot %s: %w", p, slot, err)
	}
	if m.Version != FormatVersion || m.Slot != slot || m.Position != p {
		return Manifest{}, fmt.Errorf("manifest %s of slot %s says that it is another: %w", p, slot, ErrCorrupt)
	}
	return m, nil
}

// Positions lists a slot's manifests, the latest first, unread.
func (r *Repository) Positions(ctx context.Context, slot string) ([]Position, error) {
	if err := checkSlot(slot); err != nil {
		return nil, err
	}
	var out []Position
	err := r.store.list(ctx, manifestsPrefix(slot), "", func(o object) error {
		// What is none of ours is none of our business.
		if p, err := ParsePosition(strings.TrimSuffix(o.name, ".json")); err == nil {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the manifests of slot %s: %w", slot, err)
	}
	slices.SortFunc(out, func(a, b Position) int { return b.Compare(a) })
	return out, nil
}

// idsPerList fills a chunk.
const idsPerList = MaxChunk / len(ID{})

// References returns every chunk that a manifest's state needs, its tree and lists among them.
func (r *Repository) References(ctx context.Context, m Manifest) (map[ID]struct{}, error) {
	out := make(map[ID]struct{})
	for _, list := range m.Lists {
		b, err := r.Get(ctx, list)
		if err != nil {
			return nil, fmt.Errorf("cannot read what manifest %s of slot %s refers to: %w", m.Position, m.Slot, err)
		}
		if len(b)%len(ID{}) != 0 {
			return nil, fmt.Errorf("a list of manifest %s of slot %s is cut: %w", m.Position, m.Slot, ErrCorrupt)
		}
		for id := range slices.Chunk(b, len(ID{})) {
			out[ID(id)] = struct{}{}
		}
		out[list] = struct{}{}
	}
	for _, id := range m.Tree {
		out[id] = struct{}{}
	}
	return out, nil
}

// Verify reads every chunk that a manifest needs. It returns ErrNotFound or ErrCorrupt if one is lost.
func (r *Repository) Verify(ctx context.Context, m Manifest) error {
	refs, err := r.References(ctx, m)
	if err != nil {
		return err
	}
	for id := range refs {
		if _, err := r.Get(ctx, id); err != nil {
			return fmt.Errorf("cannot verify manifest %s of slot %s: %w", m.Position, m.Slot, err)
		}
	}
	return nil
}
