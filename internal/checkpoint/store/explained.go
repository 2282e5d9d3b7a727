package store

import (
	"context"
	"errors"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// explained is a driver over a bucket of any kind, whose errors have a meaning.
type explained struct{ to *blob.Bucket }

// Close is what driver.Bucket asks for.
func (e *explained) Close() error { return explain(e.to.Close()) }

// As is what driver.Bucket asks for.
func (e *explained) As(any) bool { return false }

// ErrorAs is what driver.Bucket asks for.
func (e *explained) ErrorAs(error, any) bool { return false }
func (e *explained) unimplemented() error {
	return &failure{gcerrors.Unimplemented, cannot.reason, nil}
}

// ErrorCode is what driver.Bucket asks for.
func (e *explained) ErrorCode(err error) gcerrors.ErrorCode {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return gcerrors.Code(err)
}

// Attributes is what driver.Bucket asks for.
func (e *explained) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	a, err := e.to.Attributes(ctx, key)
	if err != nil {
		return nil, explain(err)
	}
	return &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, CreateTime: a.CreateTime, Size: a.Size, MD5: a.MD5, ETag: a.ETag}, nil
}

// ListPaged is what driver.Bucket asks for.
func (e *explained) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	token, size := o.PageToken, o.PageSize
	if len(token) == 0 {
		token = blob.FirstPageToken
	}
	if size == 0 {
		size = 1000
	}
	objects, next, err := e.to.ListPage(ctx, token, size, &blob.ListOptions{Prefix: o.Prefix, Delimiter: o.Delimiter})
	if err != nil {
		return nil, explain(err)
	}
	page := &driver.ListPage{NextPageToken: next}
	for _, o := range objects {
		page.Objects = append(page.Objects, &driver.ListObject{Key: o.Key, ModTime: o.ModTime, Size: o.Size, MD5: o.MD5, IsDir: o.IsDir})
	}
	return page, nil
}

// NewRangeReader is what driver.Bucket asks for.
func (e *explained) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	r, err := e.to.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, explain(err)
	}
	return reader{r}, nil
}

type reader struct{ r *blob.Reader }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err == io.EOF { //nolint:errorlint // A reader's end is just this.
		return n, err
	}
	return n, explain(err)
}

// Close is what driver.Reader asks for.
func (r reader) Close() error { return explain(r.r.Close()) }

// As is what driver.Reader asks for.
func (r reader) As(any) bool { return false }

// Attributes is what driver.Reader asks for.
func (r reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.r.ContentType(), ModTime: r.r.ModTime(), Size: r.r.Size()}
}

// NewTypedWriter is what driver.Bucket asks for.
func (e *explained) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	w, err := e.to.NewWriter(ctx, key, &blob.WriterOptions{
		BufferSize: o.BufferSize, MaxConcurrency: o.MaxConcurrency, ContentType: contentType, ContentMD5: o.ContentMD5,
		Metadata: o.Metadata, IfNotExist: o.IfNotExist, CacheControl: o.CacheControl, ContentDisposition: o.ContentDisposition,
		ContentEncoding: o.ContentEncoding, ContentLanguage: o.ContentLanguage,
	})
	if err != nil {
		return nil, explain(err)
	}
	return writer{w}, nil
}

type writer struct{ w *blob.Writer }

func (w writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	return n, explain(err)
}

// Close is what driver.Writer asks for.
func (w writer) Close() error { return explain(w.w.Close()) }

// Delete is what driver.Bucket asks for.
func (e *explained) Delete(ctx context.Context, key string) error {
	return explain(e.to.Delete(ctx, key))
}

// Copy is not needed by anybody who encrypts.
func (e *explained) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return e.unimplemented()
}

// SignedURL would hand out what opens the store.
func (e *explained) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", e.unimplemented()
}
