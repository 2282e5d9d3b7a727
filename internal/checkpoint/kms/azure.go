package kms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

// AzureCredentials are a service principal's.
type AzureCredentials struct {
	TenantID     string `json:"tenantID"`
	ClientID     string `json:"clientID"`
	ClientSecret string `json:"clientSecret"`
}

// An azureVault wraps with an RSA key of Key Vault or of a managed HSM.
type azureVault struct {
	client       *azkeys.Client
	key, version string
}

// What Azure encrypted does not say with which version of the key, and the newest cannot decrypt what an older one did. So the
// version lies beside it: else nobody could restore once the key has been rotated.
type azureWrapped struct {
	Version string `json:"version"`
	Value   []byte `json:"value"`
}

func openAzure(_ context.Context, c Config, l location, client *http.Client) (cipher, error) {
	opts := azcore.ClientOptions{Transport: client}
	id, err := azureIdentity(c, opts)
	if err != nil {
		return nil, err
	}
	k, err := azkeys.NewClient("https://"+l.vault, id, &azkeys.ClientOptions{ClientOptions: opts})
	if err != nil {
		return nil, errors.New("the vault's name is not one that Azure's client takes")
	}
	return azureVault{client: k, key: l.key, version: l.version}, nil
}

func azureIdentity(c Config, opts azcore.ClientOptions) (azcore.TokenCredential, error) {
	if len(c.Credentials) == 0 {
		id, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts})
		if err != nil {
			return nil, fmt.Errorf("cannot find credentials: %w", err)
		}
		return id, nil
	}
	var k AzureCredentials
	if err := decode(c.Credentials, &k); err != nil {
		return nil, err
	}
	if k.TenantID == "" || k.ClientID == "" || k.ClientSecret == "" {
		return nil, errors.New("the credentials must have tenantID, clientID and clientSecret")
	}
	id, err := azidentity.NewClientSecretCredential(k.TenantID, k.ClientID, k.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: opts})
	if err != nil {
		return nil, errors.New("the credentials have a tenantID that is none") // What it says may repeat them.
	}
	return id, nil
}

func (a azureVault) encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	out, err := a.client.Encrypt(ctx, a.key, a.version, azureParameters(plain), nil)
	if err != nil {
		return nil, err
	}
	if out.KID == nil || out.KID.Version() == "" || len(out.Result) == 0 {
		return nil, errGarbled
	}
	return json.Marshal(azureWrapped{Version: out.KID.Version(), Value: out.Result})
}

func (a azureVault) decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	var w azureWrapped
	// Only a version is taken from it: the vault and the key are those that the caller named.
	if err := json.Unmarshal(wrapped, &w); err != nil || w.Version == "" {
		return nil, errForeign
	}
	out, err := a.client.Decrypt(ctx, a.key, w.Version, azureParameters(w.Value), nil)
	if err != nil {
		return nil, err
	}
	return out.Result, nil
}

func azureParameters(value []byte) azkeys.KeyOperationParameters {
	with := azkeys.EncryptionAlgorithmRSAOAEP256
	return azkeys.KeyOperationParameters{Algorithm: &with, Value: value}
}
