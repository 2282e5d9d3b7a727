package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// A gate is asked at every single operation on a store. What it returns is what becomes of it.
type gate func() (done, answered bool)

var errLost = errors.New("the connection is gone")

// gated is a driver over a bucket that works, whose operations may fail before they are done, or lose their answers after.
type gated struct {
	driver.Bucket // Whatever is not below is not used, and panics.
	to            *blob.Bucket
	ask           gate
	// ages are how long ago objects were written, where a test decides that. What is written again is young.
	ages map[string]time.Duration
}

func (g *gated) aged(key string, at time.Time) time.Time { return at.Add(-g.ages[key]) }

func gatedBucket(to *blob.Bucket, ask gate) *blob.Bucket {
	return blob.NewBucket(&gated{to: to, ask: ask})
}

func (g *gated) do(f func() error) error {
	done, answered := g.ask()
	if !done {
		return errLost
	}
	err := f()
	if !answered {
		return errLost
	}
	return err
}

func (g *gated) Close() error { return nil }

func (g *gated) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errLost) {
		return gcerrors.Unknown
	}
	return gcerrors.Code(err)
}

func (g *gated) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	var out *driver.Attributes
	err := g.do(func() error {
		a, err := g.to.Attributes(ctx, key)
		if err == nil {
			out = &driver.Attributes{ModTime: g.aged(key, a.ModTime), Size: a.Size}
		}
		return err
	})
	return out, err
}

func (g *gated) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	out := &driver.ListPage{}
	err := g.do(func() error {
		token := o.PageToken
		if len(token) == 0 {
			token = blob.FirstPageToken
		}
		page, next, err := g.to.ListPage(ctx, token, o.PageSize, &blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
		for _, p := range page {
			out.Objects = append(out.Objects, &driver.ListObject{Key: p.Key, ModTime: g.aged(p.Key, p.ModTime), Size: p.Size, IsDir: p.IsDir})
		}
		out.NextPageToken = next
		return err
	})
	return out, err
}

type gatedReader struct {
	io.Reader
	at   time.Time
	size int64
}

func (r gatedReader) Close() error { return nil }
func (r gatedReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ModTime: r.at, Size: r.size}
}
func (r gatedReader) As(any) bool { return false }

func (g *gated) NewRangeReader(ctx context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	var b []byte
	if err := g.do(func() (err error) { b, err = g.to.ReadAll(ctx, key); return err }); err != nil {
		return nil, err
	}
	return gatedReader{Reader: bytes.NewReader(b), size: int64(len(b))}, nil
}

type gatedWriter struct {
	bytes.Buffer
	g    *gated
	done func(data []byte) error
}

func (w *gatedWriter) Close() error { return w.g.do(func() error { return w.done(w.Bytes()) }) }

func (g *gated) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	return &gatedWriter{g: g, done: func(data []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		delete(g.ages, key)

		return g.to.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: o.IfNotExist, ContentType: "a/b"})
	}}, nil
}

func (g *gated) Delete(ctx context.Context, key string) error {
	return g.do(func() error { return g.to.Delete(ctx, key) })
}
