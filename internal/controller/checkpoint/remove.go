package checkpoint

import (
	"context"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
)

// vacant returns an error where there are checkpoints without their pool.json. A new one would not open them, and those who look for
// what was lost would find that it was written over.
func vacant(ctx context.Context, b *blob.Bucket) error {
	for _, prefix := range []string{"slots/", "chunks/"} {
		page, _, err := b.ListPage(ctx, blob.FirstPageToken, 1, &blob.ListOptions{Prefix: prefix})
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return errors.Wrap(err, "cannot look for checkpoints")
		}

		if len(page) > 0 {
			return errors.New("there are checkpoints and no pool.json, without which nobody can read them: bring it back from a backup, or remove what is left")
		}
	}

	return nil
}

// removeAll deletes all objects of a bucket, pool.json last: as long as it is there, it is known what the rest is.
func removeAll(ctx context.Context, b *blob.Bucket) error {
	const pool = "pool.json"

	for {
		page, _, err := b.ListPage(ctx, blob.FirstPageToken, 1000, nil)
		if err != nil {
			return errors.Wrap(err, "cannot list the objects")
		}

		left := 0

		for _, o := range page {
			if o.Key == pool {
				continue
			}

			left++

			if err := remove(ctx, b, o.Key); err != nil {
				return err
			}
		}

		if left > 0 {
			continue
		}

		if len(page) == 0 {
			return nil
		}

		if err := remove(ctx, b, pool); err != nil {
			return err
		}
	}
}

// remove deletes an object. One that is gone is what was asked for.
func remove(ctx context.Context, b *blob.Bucket, name string) error {
	if err := b.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return errors.Wrap(err, "cannot delete an object")
	}

	return nil
}
