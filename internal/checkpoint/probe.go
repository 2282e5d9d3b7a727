package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	probesPrefix = "probes/"
	// probeTimeout bounds a whole probe: it is nine small requests.
	probeTimeout = 5 * time.Minute
	// maxSkew is how far the store's clock may be from ours: a quarter of the usual window.
	maxSkew = 6 * time.Hour
)

// Probe writes an object of its own, looks whether the store does what the format needs, and removes it. It returns ErrUnfit with
// what is wrong and what to do, or the store's own error. It needs the right to read, write, list and delete. What it does not
// see is two writers at the same moment, and a store that only sometimes shows what it was given: see package checkpointtest.
func Probe(ctx context.Context, b *blob.Bucket) (err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p := probe{store: store{bucket: b, opts: Options{}.withDefaults()}, name: probesPrefix + randomHex(16)}
	defer func() {
		if err != nil { // Else it has removed what it made, and looked.
			_ = p.store.remove(ctx, p.name)
		}
	}()
	for _, step := range []func(context.Context) error{p.absent, p.created, p.kept, p.listed, p.removed} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("cannot trust the store: %w", err)
		}
	}
	return nil
}

type probe struct {
	store store
	name  string
}

func unfit(what string) error { return fmt.Errorf("%s: %w", what, ErrUnfit) }

func (p probe) absent(ctx context.Context) error {
	_, err := p.store.read(ctx, p.name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case gcerrors.Code(err) == gcerrors.PermissionDenied:
		return fmt.Errorf("cannot read: give the credentials the rights to read and to list, since without the second some stores deny that an object is missing: %w", err)
	case err != nil:
		return fmt.Errorf("cannot read what is not there: %w", err)
	}
	return unfit("it returns an object that was never written")
}

func (p probe) created(ctx context.Context) error {
	err := p.store.create(ctx, p.name, []byte("first"))
	if gcerrors.Code(err) == gcerrors.Unimplemented {
		return unfit("it does not know conditional writes (If-None-Match), without which two workers could own one slot: use a newer version of its server, or another store")
	}
	if err != nil {
		return fmt.Errorf("cannot create an object that must not exist: %w", err)
	}
	err = p.store.create(ctx, p.name, []byte("second"))
	if err == nil {
		return unfit("it writes over an object that must not exist (it ignores If-None-Match), so that two workers could own one slot: use a newer version of its server, or another store")
	}
	if !errors.Is(err, ErrExists) {
		return fmt.Errorf("cannot try to create what exists: %w", err)
	}
	return nil
}

func (p probe) kept(ctx context.Context) error {
	got, err := p.store.read(ctx, p.name)
	switch {
	case errors.Is(err, ErrNotFound):
		return unfit("it does not return what was written a moment ago: use a store, or a mode of it, whose reads see every write")
	case err != nil:
		return fmt.Errorf("cannot read what was written: %w", err)
	case !bytes.Equal(got, []byte("first")):
		return unfit("it returns other bytes than were written")
	}
	return nil
}

func (p probe) listed(ctx context.Context) error {
	at, err := p.listing(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		return unfit("it does not list what was written a moment ago: use a store, or a mode of it, whose lists see every write")
	case err != nil:
		return fmt.Errorf("cannot list: %w", err)
	}
	if d := p.store.opts.Now().Sub(at).Abs(); d > maxSkew {
		return unfit(fmt.Sprintf("its clock and this machine's are %s apart, so that the age of a chunk is not known: set both to the time", d.Round(time.Minute)))
	}
	return nil
}

// listing returns when the object was written, or ErrNotFound.
func (p probe) listing(ctx context.Context) (time.Time, error) {
	var at *time.Time
	err := p.store.list(ctx, probesPrefix, "", func(o object) error {
		if probesPrefix+o.name == p.name {
			at = &o.modified
		}
		return nil
	})
	if err == nil && at == nil {
		err = ErrNotFound
	}
	if err != nil {
		return time.Time{}, err
	}
	return *at, nil
}

func (p probe) removed(ctx context.Context) error {
	// After a lost answer it may be gone by its own doing.
	if err := p.store.remove(ctx, p.name); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot remove: %w", err)
	}
	for what, look := range map[string]func() error{
		"returns": func() error { _, err := p.store.read(ctx, p.name); return err },
		"lists":   func() error { _, err := p.listing(ctx); return err },
	} {
		err := look()
		if err == nil {
			return unfit("it still " + what + " what was removed a moment ago: use a store, or a mode of it, that shows every removal")
		}
		if !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("cannot look for what was removed: %w", err)
		}
	}
	return nil
}
