//go:build integration

package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

func newPool() checkpoint.Pool {
	return checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}
}

func quick() checkpoint.Options {
	return checkpoint.Options{Timeout: 10 * time.Second, Pause: time.Millisecond}
}

// save commits a text as a whole state.
func save(ctx context.Context, s *checkpoint.Session, text string) error {
	id, err := s.Put(ctx, []byte(text))
	if err != nil {
		return err
	}
	_, err = s.Commit(ctx, checkpoint.Save{Reason: "Test", Tree: []checkpoint.ID{id}, Files: 1, Bytes: int64(len(text))})
	return err
}

// saves commits texts, one after another, under an epoch that is claimed.
func saves(t *testing.T, b *blob.Bucket, key checkpoint.DataKey, epoch int64, texts ...string) {
	t.Helper()
	r, err := checkpoint.Open(t.Context(), b, key, quick())
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Session(t.Context(), "0", epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if err := save(t.Context(), s, text); err != nil {
			t.Fatal(err)
		}
	}
}

// newest restores the slot, and returns its text; empty where there is none. A manifest that had to be rejected is a torn one.
func newest(t *testing.T, b *blob.Bucket, key checkpoint.DataKey) string {
	t.Helper()
	r, err := checkpoint.Open(t.Context(), b, key, quick())
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	got, err := r.Restore(t.Context(), "0", 1<<30, func(ctx context.Context, m checkpoint.Manifest) error {
		if err := r.Verify(ctx, m); err != nil {
			return err
		}
		var err error
		text, err = r.Get(ctx, m.Tree[0])
		return err
	})
	if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatal(err)
	}
	if len(got.Rejected) > 0 {
		t.Errorf("torn: %v", got.Rejected)
	}
	return string(text)
}
