package checkpoint

import (
	"context"
	"errors"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

// lying is a store that works but for what it lies about.
type lying struct {
	gated
	forgets    bool // If-None-Match
	overwrites bool // and says that it did not
	listsNone  bool
	keeps      bool // what is removed
	denies     bool
}

var errDenied = errors.New("denied: AKIASECRET")

func (l *lying) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errDenied) {
		return gcerrors.PermissionDenied
	}
	return l.gated.ErrorCode(err)
}

func (l *lying) NewTypedWriter(ctx context.Context, key, kind string, o *driver.WriterOptions) (driver.Writer, error) {
	if l.overwrites && o.IfNotExist {
		if there, _ := l.to.Exists(ctx, key); there {
			return &gatedWriter{g: &l.gated, done: func(data []byte) error {
				_ = l.to.WriteAll(ctx, key, data, nil)
				return l.to.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: true})
			}}, nil
		}
	}
	if l.forgets {
		o = &driver.WriterOptions{}
	}
	return l.gated.NewTypedWriter(ctx, key, kind, o)
}

func (l *lying) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	if l.listsNone {
		return &driver.ListPage{}, nil
	}
	return l.gated.ListPaged(ctx, o)
}

func (l *lying) NewRangeReader(ctx context.Context, key string, from, n int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if l.denies {
		return nil, errDenied
	}
	return l.gated.NewRangeReader(ctx, key, from, n, o)
}

func (l *lying) Delete(ctx context.Context, key string) error {
	if l.keeps {
		return nil
	}
	return l.gated.Delete(ctx, key)
}

// late is a store whose clock is behind.
type late struct{ lying }

func (l *late) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	page, err := l.lying.ListPaged(ctx, o)
	if err == nil {
		for _, o := range page.Objects {
			o.ModTime = o.ModTime.Add(-7 * time.Hour)
		}
	}
	return page, err
}

func TestProbe(t *testing.T) {
	honest := func(mem *blob.Bucket) lying { return lying{gated: gated{to: mem, ask: always}} }
	with := func(set func(*lying)) func(*blob.Bucket) driver.Bucket {
		return func(mem *blob.Bucket) driver.Bucket {
			l := honest(mem)
			set(&l)
			return &l
		}
	}
	cases := map[string]struct {
		reason string
		store  func(*blob.Bucket) driver.Bucket
		unfit  bool
		denied bool
		left   int
	}{
		"Honest":     {reason: "A store that works passes.", store: with(func(*lying) {})},
		"Forgets":    {reason: "Without conditional creates there is no owner.", store: with(func(l *lying) { l.forgets = true }), unfit: true},
		"Overwrites": {reason: "To refuse and to write is no refusal.", store: with(func(l *lying) { l.overwrites = true }), unfit: true},
		"ListsNone":  {reason: "A claim that is not listed fences nobody.", store: with(func(l *lying) { l.listsNone = true }), unfit: true},
		"Keeps":      {reason: "What was removed must be gone.", store: with(func(l *lying) { l.keeps = true }), unfit: true, left: 1},
		"Late":       {reason: "By a wrong clock young chunks are old.", store: func(mem *blob.Bucket) driver.Bucket { return &late{honest(mem)} }, unfit: true},
		"Denies":     {reason: "Missing rights are no fault of the store.", store: with(func(l *lying) { l.denies = true }), denied: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mem := memblob.OpenBucket(nil)
			defer mem.Close()
			err := Probe(t.Context(), blob.NewBucket(tc.store(mem)))
			if got := errors.Is(err, ErrUnfit); got != tc.unfit || (err != nil) != (tc.unfit || tc.denied) {
				t.Errorf("%s Probe: got %v", tc.reason, err)
			}
			if tc.denied && gcerrors.Code(err) != gcerrors.PermissionDenied {
				t.Errorf("%s Probe: got %v, want the code to be kept", tc.reason, err)
			}
			if left := names(t, mem, ""); len(left) != tc.left {
				t.Errorf("it leaves %q behind", left)
			}
		})
	}
}
