// Package store opens the object stores that checkpoints are kept in, by URL and credentials. It must not know what is kept
// there, nor Kubernetes.
package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
)

// Config says where a store is and how to get in.
type Config struct {
	// URL names the bucket and what one must know to find it: see CheckURL. It has no secrets.
	URL string
	// Prefix is what the names of all objects begin with, without its last slash; the whole bucket if empty.
	Prefix string
	// Credentials are a JSON object whose fields depend on the store: see S3Credentials and AzureCredentials, and for gs a
	// service account's key as Google gives it out. Empty means to ask without any, unless Ambient.
	Credentials []byte
	// Ambient allows to take credentials from where the process runs (environment, files, the cloud's metadata server) if
	// Credentials are empty. It is for processes whose surroundings are the platform's own, never for workers.
	Ambient bool
	// CA are certificate authorities in PEM that are trusted besides the system's.
	CA []byte
}

// Open opens a bucket. It asks the store for nothing: whether one may do with it what one must shows later. Operations on it
// are tried once, since who uses it tries again, and have no deadline but their context's. Their errors say what is wrong in
// words that hold no address, no name and no secret; they have a method Reason for them.
func Open(ctx context.Context, c Config) (*blob.Bucket, error) {
	l, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	prefix, err := prefix(c.Prefix)
	if err != nil {
		return nil, err
	}
	inner, err := c.open(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("cannot open the %s store: %w", l.scheme, err)
	}
	b := blob.NewBucket(&explained{to: inner})
	if prefix == "" {
		return b, nil
	}
	return blob.PrefixedBucket(b, prefix), nil
}

func (c Config) open(ctx context.Context, l location) (*blob.Bucket, error) {
	client, err := httpClient(c.CA)
	if err != nil {
		return nil, err
	}
	switch l.scheme {
	case "s3":
		return c.openS3(ctx, l, client)
	case "azblob":
		return c.openAzure(ctx, l, client)
	case "gs":
		return c.openGCS(ctx, l, client)
	case "file":
		return fileblob.OpenBucket(l.bucket, &fileblob.Options{
			CreateDir: true, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
		})
	default:
		return memblob.OpenBucket(nil), nil
	}
}

// prefix returns what PrefixedBucket takes. A name that is not below it can never be reached through it.
func prefix(p string) (string, error) {
	if p == "" {
		return "", nil
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, control) {
			return "", fmt.Errorf("prefix %q must be names with single slashes between them", p)
		}
	}
	return p + "/", nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }

// schemes are the kinds of stores, each with the parameters that its URLs may have.
var schemes = map[string][]string{
	"s3":     {"region", "endpoint", "use_path_style", "s3ForcePathStyle", "ssetype", "kmskeyid"},
	"azblob": {"storage_account", "domain", "protocol", "localemu"},
	"gs":     {"endpoint"},
	"file":   nil,
	"mem":    nil,
}

// CheckURL says whether Open takes a URL, without opening anything:
//
//	s3://BUCKET?region=REGION
//	s3://BUCKET?endpoint=https://HOST&use_path_style=true
//	azblob://CONTAINER?storage_account=ACCOUNT
//	gs://BUCKET
//	file:///DIRECTORY
//	mem://
//
// An error never repeats what may be a secret.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}

// A location is a URL that was checked. Its bucket is a container for azblob, and a path for file.
type location struct {
	scheme, bucket string
	params         url.Values
}

func parse(raw string) (location, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return location{}, errors.New("the store's URL is none") // What url.Parse says repeats it.
	}
	if u.User != nil {
		return location{}, errors.New("the store's URL must not have credentials: they go into a Secret of their own")
	}
	known, ok := schemes[u.Scheme]
	if !ok {
		return location{}, errors.New("the store's URL must begin with s3://, gs://, azblob://, file:/// or mem://")
	}
	params, err := parameters(u.RawQuery, known)
	if err != nil {
		return location{}, err
	}
	l := location{scheme: u.Scheme, bucket: u.Host, params: params}
	switch {
	case u.Fragment != "" || u.Opaque != "":
		return location{}, errors.New("the store's URL has parts that no store's has")
	case u.Scheme == "file":
		if u.Host != "" || len(u.Path) < 2 {
			return location{}, errors.New("the store's URL must be file:/// and the path of a directory")
		}
		l.bucket = u.Path
		return l, nil
	case u.Scheme == "mem":
		return l, nil
	case u.Host == "" || u.Port() != "":
		return location{}, fmt.Errorf("the store's URL must be %s:// and the name of a bucket", u.Scheme)
	case u.Path != "" && u.Path != "/":
		return location{}, errors.New("the store's URL must end with the bucket's name: what is below it is the prefix")
	}
	return l, l.check()
}

func parameters(query string, known []string) (url.Values, error) {
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the store's URL has parameters that cannot be read")
	}
	for name, values := range params {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("the store's URL has a parameter that it must not have; it may have: %q (credentials go into a Secret of their own)", known)
		}
		if len(values) != 1 || values[0] == "" {
			return nil, fmt.Errorf("the store's URL must give %s one value", name)
		}
	}
	return params, nil
}
