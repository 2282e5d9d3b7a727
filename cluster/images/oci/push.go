package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Push uploads what the registry does not have of an image or an index of images.
func Push(ctx context.Context, ref string, what remote.Taggable, opts ...remote.Option) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return fmt.Errorf("cannot parse image name %q: %w", ref, err)
	}
	opts = append([]remote.Option{
		remote.WithContext(ctx), remote.WithJobs(8), remote.WithAuthFromKeychain(authn.DefaultKeychain),
	}, opts...)
	switch t := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(r, t, opts...)
	case v1.Image:
		err = remote.Write(r, t, opts...)
	default:
		err = errors.New("it is neither an image nor an index")
	}
	if err != nil {
		return fmt.Errorf("cannot push %s: %w", ref, err)
	}
	return nil
}

// Exists says whether the registry has something of that name.
func Exists(ctx context.Context, ref string) (bool, error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return false, fmt.Errorf("cannot parse image name %q: %w", ref, err)
	}
	_, err = remote.Head(r, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("cannot look for %s: %w", ref, err)
	}
	return true, nil
}

func opener(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}
