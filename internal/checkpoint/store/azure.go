package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// AzureCredentials are an account's key, or better a token for one container (SAS), of which a worker's may not delete.
type AzureCredentials struct {
	// Account may be left out where the URL has it.
	Account  string `json:"account,omitempty"`
	Key      string `json:"key,omitempty"`
	SASToken string `json:"sasToken,omitempty"`
}

func (c Config) openAzure(ctx context.Context, l location, client *http.Client) (*blob.Bucket, error) {
	var k AzureCredentials
	if len(c.Credentials) > 0 {
		if err := decode(c.Credentials, &k); err != nil {
			return nil, err
		}
		if (k.Key == "") == (k.SASToken == "") {
			return nil, errors.New("the credentials must have either key or sasToken")
		}
	}
	inURL := l.params.Get("storage_account")
	if k.Account == "" {
		k.Account = inURL
	}
	if k.Account == "" || inURL != "" && k.Account != inURL {
		return nil, errors.New("the URL or the credentials must have the storage account, and both the same if both do")
	}
	service, err := azureblob.NewServiceURL(&azureblob.ServiceURLOptions{
		AccountName: k.Account, SASToken: strings.TrimPrefix(k.SASToken, "?"), StorageDomain: l.params.Get("domain"),
		Protocol: l.params.Get("protocol"), IsLocalEmulator: l.flag("localemu"),
	})
	if err != nil {
		return nil, errors.New("the URL must have the protocol http or https")
	}
	cc, err := c.azureClient(withContainer(string(service), l.bucket), k, client)
	if err != nil {
		return nil, err
	}
	return azureblob.OpenBucket(ctx, cc, nil)
}

// withContainer puts a container's name before the token.
func withContainer(service, name string) string {
	base, token, has := strings.Cut(service, "?")
	base += "/" + name
	if has {
		base += "?" + token
	}
	return base
}

func (c Config) azureClient(at string, k AzureCredentials, client *http.Client) (*container.Client, error) {
	opts := azcore.ClientOptions{
		Transport: client,
		// Who uses the bucket tries again, with a deadline for each request.
		Retry: policy.RetryOptions{MaxRetries: -1},
	}
	switch {
	case k.Key != "":
		shared, err := container.NewSharedKeyCredential(k.Account, k.Key)
		if err != nil {
			return nil, errors.New("the key is not one of an account")
		}
		return container.NewClientWithSharedKeyCredential(at, shared, &container.ClientOptions{ClientOptions: opts})
	case k.SASToken == "" && c.Ambient:
		id, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts})
		if err != nil {
			return nil, fmt.Errorf("cannot find credentials: %w", err)
		}
		return container.NewClient(at, id, &container.ClientOptions{ClientOptions: opts})
	}
	return container.NewClientWithNoCredential(at, &container.ClientOptions{ClientOptions: opts})
}
