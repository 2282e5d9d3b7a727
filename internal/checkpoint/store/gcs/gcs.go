// Package gcs is a driver for Google Cloud Storage over its JSON API: small enough for a process of which there is one per
// agent. It must not know what is kept there. It does what checkpoints need: whole objects of up to 8 MiB, without metadata.
package gcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
	"golang.org/x/oauth2"
)

const (
	// MaxObject is the most bytes of an object that is written.
	MaxObject = 8 << 20
	// defaultEndpoint is Google's own.
	defaultEndpoint = "https://storage.googleapis.com"
	// pageSize is the most objects that one page lists.
	pageSize = 1000
	// maxPage bounds the bytes of an answer that is not an object.
	maxPage = 8 << 20
	// precondition makes a write a create: generation 0 is that of an object that is not there.
	precondition = "ifGenerationMatch"
)

// Config says which bucket, and how to ask for it.
type Config struct {
	Bucket string
	// Endpoint is Google's if empty.
	Endpoint string
	Client   *http.Client
	// Tokens are sent along; none if nil.
	Tokens oauth2.TokenSource
}

// An Error is an answer of the store, or of who gives tokens, that is not what was asked for.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Token is true if it was a token that was asked for.
	Token bool
}

// Error says the status and no more: what the store says may hold names.
func (e *Error) Error() string {
	if e.Token {
		return "cannot get a token: status " + strconv.Itoa(e.Status)
	}
	return "status " + strconv.Itoa(e.Status)
}

// errUnsupported is for what checkpoints do not need.
var errUnsupported = errors.New("not supported")

// OpenBucket opens a bucket. It asks the store for nothing.
func OpenBucket(c Config) *blob.Bucket {
	if c.Endpoint == "" {
		c.Endpoint = defaultEndpoint
	}
	c.Endpoint = strings.TrimSuffix(c.Endpoint, "/")
	return blob.NewBucket(&bucket{c})
}

type bucket struct{ Config }

// Close is what driver.Bucket asks for.
func (b *bucket) Close() error { return nil }

// As is what driver.Bucket asks for.
func (b *bucket) As(any) bool { return false }

// ErrorAs is what driver.Bucket asks for.
func (b *bucket) ErrorAs(error, any) bool { return false }

// ErrorCode says what a status means.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	var e *Error
	switch {
	case errors.Is(err, errUnsupported):
		return gcerrors.Unimplemented
	case !errors.As(err, &e):
		return gcerrors.Unknown
	}
	switch e.Status {
	case http.StatusNotFound:
		return gcerrors.NotFound
	case http.StatusPreconditionFailed:
		return gcerrors.FailedPrecondition
	case http.StatusUnauthorized, http.StatusForbidden:
		return gcerrors.PermissionDenied
	case http.StatusTooManyRequests:
		return gcerrors.ResourceExhausted
	case http.StatusBadRequest:
		return gcerrors.InvalidArgument
	}
	return gcerrors.Unknown
}

// objects is the path of the bucket's objects. Slashes in names are part of the name, and escaped.
func (b *bucket) objects() string { return "/storage/v1/b/" + url.PathEscape(b.Bucket) + "/o" }

func (b *bucket) object(key string) string { return b.objects() + "/" + url.PathEscape(key) }

// do asks for something. Who gets no error closes the body.
func (b *bucket) do(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.Endpoint+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if b.Tokens != nil {
		t, err := b.Tokens.Token()
		if err != nil {
			return nil, tokenError(err)
		}
		t.SetAuthHeader(req)
	}
	res, err := b.Client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer drop(res)
		return nil, &Error{Status: res.StatusCode}
	}
	return res, nil
}

// drop reads what little is left, so that the connection can be used again.
func drop(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
}

// resource is what the store says of an object. Its numbers are strings.
type resource struct {
	Name        string    `json:"name"`
	Size        int64     `json:"size,string"`
	ContentType string    `json:"contentType"`
	Updated     time.Time `json:"updated"`
	Created     time.Time `json:"timeCreated"`
	MD5         []byte    `json:"md5Hash"`
	ETag        string    `json:"etag"`
}

func (b *bucket) ask(ctx context.Context, method, path string, query url.Values, into any) error {
	res, err := b.do(ctx, method, path, query, nil, nil)
	if err != nil {
		return err
	}
	defer drop(res)
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxPage)).Decode(into); err != nil {
		return fmt.Errorf("cannot read the answer: %w", err)
	}
	return nil
}

// Attributes is what driver.Bucket asks for.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	var o resource
	if err := b.ask(ctx, http.MethodGet, b.object(key), nil, &o); err != nil {
		return nil, err
	}
	return &driver.Attributes{
		ContentType: o.ContentType, ModTime: o.Updated, CreateTime: o.Created, Size: o.Size, MD5: o.MD5, ETag: o.ETag,
	}, nil
}

// ListPaged is what driver.Bucket asks for.
func (b *bucket) ListPaged(ctx context.Context, o *driver.ListOptions) (*driver.ListPage, error) {
	q := url.Values{"fields": {"nextPageToken,prefixes,items(name,size,updated,md5Hash)"}}
	size := pageSize
	if o.PageSize > 0 {
		size = min(size, o.PageSize)
	}
	q.Set("maxResults", strconv.Itoa(size))
	for name, value := range map[string]string{"prefix": o.Prefix, "delimiter": o.Delimiter, "pageToken": string(o.PageToken)} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var got struct {
		Next     string     `json:"nextPageToken"`
		Prefixes []string   `json:"prefixes"`
		Items    []resource `json:"items"`
	}
	if err := b.ask(ctx, http.MethodGet, b.objects(), q, &got); err != nil {
		return nil, err
	}
	return &driver.ListPage{Objects: merge(got.Items, got.Prefixes), NextPageToken: []byte(got.Next)}, nil
}

// merge puts objects and directories, each sorted, into one order.
func merge(items []resource, prefixes []string) []*driver.ListObject {
	var all []*driver.ListObject
	for len(items)+len(prefixes) > 0 {
		if len(items) == 0 || len(prefixes) > 0 && prefixes[0] < items[0].Name {
			all = append(all, &driver.ListObject{Key: prefixes[0], IsDir: true})
			prefixes = prefixes[1:]
			continue
		}
		all = append(all, &driver.ListObject{Key: items[0].Name, Size: items[0].Size, ModTime: items[0].Updated, MD5: items[0].MD5})
		items = items[1:]
	}
	return all
}

// Delete is what driver.Bucket asks for.
func (b *bucket) Delete(ctx context.Context, key string) error {
	return b.ask(ctx, http.MethodDelete, b.object(key), nil, nil)
}

// Copy is what driver.Bucket asks for.
func (b *bucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errUnsupported
}

// SignedURL is what driver.Bucket asks for.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnsupported
}
