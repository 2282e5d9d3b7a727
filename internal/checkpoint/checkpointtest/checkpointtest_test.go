package checkpointtest_test

import (
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/checkpointtest"
)

func TestMemory(t *testing.T) {
	checkpointtest.Store{Open: func(*testing.T) *blob.Bucket { return memblob.OpenBucket(nil) }}.Run(t)
}

// A directory is fit for one writer: its driver looks whether a name is free, and then renames over it.
func TestDirectory(t *testing.T) {
	checkpointtest.Store{OneWriter: true, Open: func(t *testing.T) *blob.Bucket {
		b, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}.Run(t)
}

// As it lies in a bucket: below a prefix.
func TestPrefix(t *testing.T) {
	checkpointtest.Store{Open: func(*testing.T) *blob.Bucket {
		return blob.PrefixedBucket(memblob.OpenBucket(nil), "team/pool/")
	}}.Run(t)
}
