//go:build integration

package store_test

import (
	"strings"
	"testing"

	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/checkpointtest"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// TestS3Conforms holds a real S3 server, as we open it, against all that checkpoints need.
func TestS3Conforms(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "pools")
	conforms(t, func(prefix string) store.Config { return s.Config("pools", prefix, s.Root) })
}

// TestAzureConforms does the same with a real server of Azure's storage.
func TestAzureConforms(t *testing.T) {
	a := storetest.StartAzure(t)
	a.MakeContainer(t, "pools")
	conforms(t, func(prefix string) store.Config { return a.Config("pools", prefix) })
}

func conforms(t *testing.T, config func(prefix string) store.Config) {
	t.Helper()
	checkpointtest.Store{Open: func(t *testing.T) *blob.Bucket {
		return open(t, config("team/"+strings.ReplaceAll(t.Name(), "/", "-")))
	}}.Run(t)
}

func open(t *testing.T, c store.Config) *blob.Bucket {
	t.Helper()
	b, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoogleConforms holds our driver for Google's API against a server of others.
func TestGoogleConforms(t *testing.T) {
	g := storetest.StartGCS(t)
	g.MakeBucket(t, "pools")
	conforms(t, func(prefix string) store.Config { return g.Config("pools", prefix) })
}
