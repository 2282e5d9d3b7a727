package storetest

import (
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
)

// The account that Azurite has, and its key, which are the same everywhere and in its documentation.
const (
	azureAccount = "devstoreaccount1"
	azureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azure is Azurite, a server of Azure's blob storage.
type Azure struct{ address string }

// StartAzure starts a server that keeps its blobs in memory.
func StartAzure(t testing.TB) *Azure {
	t.Helper()
	port := freePort(t)
	a := &Azure{address: net.JoinHostPort("127.0.0.1", port)}
	cmd := exec.CommandContext(context.Background(), inCache(t, "npm", "azurite", "node_modules", ".bin", "azurite-blob"),
		"--blobPort", port, "--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck")
	cmd.Dir = t.TempDir()
	start(t, a.address, cmd)
	return a
}

// Config of a container, or of what is below a prefix in it.
func (a *Azure) Config(name, prefix string) store.Config {
	b, err := json.Marshal(store.AzureCredentials{Account: azureAccount, Key: azureKey})
	if err != nil {
		panic(err) // It is three strings.
	}
	return store.Config{
		URL:    "azblob://" + name + "?protocol=http&localemu=true&domain=" + a.address,
		Prefix: prefix, Credentials: b,
	}
}

// Container returns a client of a container.
func (a *Azure) Container(t testing.TB, name string) *container.Client {
	t.Helper()
	k, err := container.NewSharedKeyCredential(azureAccount, azureKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential("http://"+a.address+"/"+azureAccount+"/"+name, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// MakeContainer makes a container.
func (a *Azure) MakeContainer(t testing.TB, name string) {
	t.Helper()
	if _, err := a.Container(t, name).Create(t.Context(), nil); err != nil {
		t.Fatalf("cannot make container %s: %v", name, err)
	}
}
