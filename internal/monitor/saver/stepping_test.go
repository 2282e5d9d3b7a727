package saver

import (
	"bytes"
	"context"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// A stepper is a driver over a bucket that counts each operation, before it is made and after.
type stepper struct {
	driver.Bucket // Whatever is not below is not used, and panics.
	to            *blob.Bucket
	step          func()
}

func stepping(to *blob.Bucket, step func()) *blob.Bucket {
	return blob.NewBucket(&stepper{to: to, step: step})
}

func (s *stepper) Close() error                           { return s.to.Close() }
func (s *stepper) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }

func (s *stepper) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	s.step()

	a, err := s.to.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}

	return &driver.Attributes{ModTime: a.ModTime, Size: a.Size}, nil
}

func (s *stepper) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	s.step()

	token := o.PageToken
	if len(token) == 0 {
		token = blob.FirstPageToken
	}

	page, next, err := s.to.ListPage(ctx, token, o.PageSize, &blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
	if err != nil {
		return nil, err
	}

	out := &driver.ListPage{NextPageToken: next}
	for _, p := range page {
		out.Objects = append(out.Objects, &driver.ListObject{Key: p.Key, ModTime: p.ModTime, Size: p.Size, IsDir: p.IsDir})
	}

	return out, nil
}

type steppingReader struct {
	io.Reader
	size int64
}

func (r steppingReader) Close() error { return nil }
func (r steppingReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ModTime: time.Time{}, Size: r.size}
}
func (r steppingReader) As(any) bool { return false }

func (s *stepper) NewRangeReader(ctx context.Context, key string, _, _ int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	s.step()

	b, err := s.to.ReadAll(ctx, key)
	if err != nil {
		return nil, err
	}

	return steppingReader{bytes.NewReader(b), int64(len(b))}, nil
}

type steppingWriter struct {
	bytes.Buffer
	done func([]byte) error
}

func (w *steppingWriter) Close() error { return w.done(w.Bytes()) }

func (s *stepper) NewTypedWriter(ctx context.Context, key, _ string, o *driver.WriterOptions) (driver.Writer, error) {
	return &steppingWriter{done: func(data []byte) error {
		s.step()

		err := s.to.WriteAll(ctx, key, data, &blob.WriterOptions{IfNotExist: o.IfNotExist, ContentType: "a/b"})

		s.step()

		return err
	}}, nil
}
