package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob/driver"
)

// NewRangeReader is what driver.Bucket asks for.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if o.BeforeRead != nil {
		if err := o.BeforeRead(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	if length == 0 {
		return b.empty(ctx, key)
	}
	// What is stored is what is sent: nothing is decompressed on the way.
	h := http.Header{"Accept-Encoding": {"gzip"}}
	switch {
	case length > 0:
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		h.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	res, err := b.do(ctx, http.MethodGet, b.object(key), url.Values{"alt": {"media"}}, h, nil) //nolint:bodyclose // The reader's to close.
	if err != nil {
		return nil, err
	}
	at, _ := time.Parse(http.TimeFormat, res.Header.Get("Last-Modified")) // It is not always there.
	return &reader{ReadCloser: res.Body, attributes: driver.ReaderAttributes{
		ContentType: res.Header.Get("Content-Type"), ModTime: at, Size: size(res),
	}}, nil
}

// empty reads no byte of an object, for which no range can ask.
func (b *bucket) empty(ctx context.Context, key string) (driver.Reader, error) {
	a, err := b.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &reader{ReadCloser: http.NoBody, attributes: driver.ReaderAttributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size}}, nil
}

// size is that of the whole object.
func size(res *http.Response) int64 {
	if _, total, ok := strings.Cut(res.Header.Get("Content-Range"), "/"); ok {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			return n
		}
	}
	return res.ContentLength
}

type reader struct {
	io.ReadCloser
	attributes driver.ReaderAttributes
}

// Attributes is what driver.Reader asks for.
func (r *reader) Attributes() *driver.ReaderAttributes { return &r.attributes }

// As is what driver.Reader asks for.
func (r *reader) As(any) bool { return false }

// NewTypedWriter keeps what is written until Close sends it in one request, which the store takes whole or not at all.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, o *driver.WriterOptions) (driver.Writer, error) {
	if len(o.Metadata) > 0 || o.CacheControl != "" || o.ContentDisposition != "" || o.ContentEncoding != "" || o.ContentLanguage != "" {
		return nil, errUnsupported
	}
	if o.BeforeWrite != nil {
		if err := o.BeforeWrite(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	h := http.Header{"Content-Type": {contentType}}
	if len(o.ContentMD5) > 0 {
		h.Set("Content-Md5", base64.StdEncoding.EncodeToString(o.ContentMD5))
	}
	q := url.Values{"uploadType": {"media"}, "name": {key}, "fields": {"name"}}
	if o.IfNotExist {
		q.Set(precondition, "0")
	}
	return &writer{send: func(data []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		res, err := b.do(ctx, http.MethodPost, "/upload"+b.objects(), q, h, data)
		if err != nil {
			return err
		}
		drop(res)
		return nil
	}}, nil
}

var errTooLarge = errors.New("the object is larger than this driver writes")

type writer struct {
	buf  bytes.Buffer
	send func([]byte) error
	err  error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.buf.Len()+len(p) > MaxObject {
		w.err = errTooLarge
		return 0, errTooLarge
	}
	return w.buf.Write(p)
}

// Close sends what was written, unless it was too much.
func (w *writer) Close() error {
	if w.err != nil {
		return w.err
	}
	return w.send(w.buf.Bytes())
}
