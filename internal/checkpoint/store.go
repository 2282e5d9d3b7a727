package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// store is a bucket with deadlines, bounded attempts and our errors. It never says what a store's error said, but for its
// code: a store's text may hold addresses, names and signatures.
type store struct {
	bucket *blob.Bucket
	opts   Options
}

// try runs f until it succeeds, fails for good, or has been tried often enough.
func (s store) try(ctx context.Context, f func(context.Context) error) error {
	pause := s.opts.Pause
	for n := 1; ; n++ {
		err := s.once(ctx, f)
		if err == nil || final(err) || n >= s.opts.Attempts || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

func (s store) once(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return f(ctx)
}

func final(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrCorrupt) ||
		gcerrors.Code(err) == gcerrors.PermissionDenied || gcerrors.Code(err) == gcerrors.Unimplemented
}

// A storeError keeps the code of a store's error for who asks, and its text from all.
type storeError struct {
	code gcerrors.ErrorCode
	err  error
}

func (e *storeError) Error() string { return "the store says " + e.code.String() }
func (e *storeError) Unwrap() error { return e.err }

func fromStore(err error) error {
	switch code := gcerrors.Code(err); code {
	case gcerrors.OK:
		return nil
	case gcerrors.NotFound:
		return ErrNotFound
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return ErrExists
	default:
		return &storeError{code: code, err: err}
	}
}

// read returns a document.
func (s store) read(ctx context.Context, name string) ([]byte, error) {
	return s.readInto(ctx, name, maxDocument, nil)
}

// readInto returns what an object holds, in a buffer if that is long enough.
func (s store) readInto(ctx context.Context, name string, limit int64, space []byte) ([]byte, error) {
	var out []byte
	err := s.try(ctx, func(ctx context.Context) error {
		r, err := s.bucket.NewReader(ctx, name, nil)
		if err != nil {
			return fromStore(err)
		}
		defer r.Close()
		// A size out of bounds must cost nothing.
		if r.Size() > limit {
			return fmt.Errorf("%d bytes are more than the format allows: %w", r.Size(), ErrCorrupt)
		}
		buf := bytes.NewBuffer(space[:0])
		buf.Grow(int(max(r.Size(), 0)) + bytes.MinRead)
		if _, err := io.Copy(buf, io.LimitReader(r, limit+1)); err != nil {
			return fromStore(err)
		}
		if int64(buf.Len()) > limit {
			return fmt.Errorf("more bytes than the format allows: %w", ErrCorrupt)
		}
		out = buf.Bytes()
		return nil
	})
	return out, err
}

func (s store) write(ctx context.Context, name string, data []byte) error {
	return s.try(ctx, func(ctx context.Context) error { return s.upload(ctx, name, data, false) })
}

func (s store) upload(ctx context.Context, name string, data []byte, ifNotExist bool) error {
	// A cancelled context before Close is the one way to abort an upload.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := s.bucket.NewWriter(ctx, name, &blob.WriterOptions{
		IfNotExist: ifNotExist, ContentType: "application/octet-stream", MaxConcurrency: 1,
	})
	if err != nil {
		return fromStore(err)
	}
	if _, err := w.Write(data); err != nil {
		cancel()
		_ = w.Close()
		return fromStore(err)
	}
	return fromStore(w.Close())
}

// create makes an object that must not exist. When the answer is lost, it looks for itself: data must be unique, so that
// whoever finds it there knows that it is theirs. It returns ErrExists if another's is there.
func (s store) create(ctx context.Context, name string, data []byte) error {
	return s.try(ctx, func(ctx context.Context) error {
		err := s.upload(ctx, name, data, true)
		if err == nil {
			return nil
		}
		r, rerr := s.bucket.NewReader(ctx, name, nil)
		if rerr != nil {
			if errors.Is(err, ErrExists) {
				// And yet it cannot be read: another's create goes on, and may fail. Ask again. That it is not found is no answer.
				return &storeError{code: gcerrors.FailedPrecondition, err: rerr}
			}
			return err
		}
		defer r.Close()
		got, rerr := io.ReadAll(io.LimitReader(r, maxDocument+1))
		switch {
		case rerr != nil:
			return fromStore(rerr)
		case bytes.Equal(got, data):
			return nil
		}
		return ErrExists
	})
}

// remove removes an object. It returns ErrNotFound where there is none; after a lost answer that may be its own doing.
func (s store) remove(ctx context.Context, name string) error {
	return s.try(ctx, func(ctx context.Context) error { return fromStore(s.bucket.Delete(ctx, name)) })
}

func (s store) modified(ctx context.Context, name string) (time.Time, error) {
	var at time.Time
	err := s.try(ctx, func(ctx context.Context) error {
		a, err := s.bucket.Attributes(ctx, name)
		if err != nil {
			return fromStore(err)
		}
		at = a.ModTime
		return nil
	})
	return at, err
}

// An object is what a listing says of one.
type object struct {
	name     string // Without the prefix that was listed.
	size     int64
	modified time.Time
	dir      bool
}

// list calls f for each object below a prefix, in the order of names, or for each directory if delimiter is "/".
func (s store) list(ctx context.Context, prefix, delimiter string, f func(object) error) error {
	token := blob.FirstPageToken
	for len(token) > 0 {
		var page []*blob.ListObject
		err := s.try(ctx, func(ctx context.Context) error {
			p, next, err := s.bucket.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: prefix, Delimiter: delimiter})
			if err != nil {
				return fromStore(err)
			}
			page, token = p, next
			return nil
		})
		if errors.Is(err, ErrNotFound) {
			return nil // A store of directories has none of this name yet.
		}
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := f(object{name: strings.TrimPrefix(o.Key, prefix), size: o.Size, modified: o.ModTime, dir: o.IsDir}); err != nil {
				return err
			}
		}
	}
	return nil
}
