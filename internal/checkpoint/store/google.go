package store

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"gocloud.dev/blob"
	"golang.org/x/oauth2"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store/gcs"
)

func (c Config) openGCS(_ context.Context, l location, client *http.Client) (*blob.Bucket, error) {
	tokens, err := c.googleTokens(client)
	if err != nil {
		return nil, err
	}
	return gcs.OpenBucket(gcs.Config{Bucket: l.bucket, Endpoint: l.params.Get("endpoint"), Client: client, Tokens: tokens}), nil
}

func (c Config) googleTokens(client *http.Client) (oauth2.TokenSource, error) {
	if len(c.Credentials) == 0 {
		if !c.Ambient {
			return nil, nil //nolint:nilnil // None: the store is asked without a token.
		}
		return gcs.Ambient(), nil
	}
	// Google adds fields as it likes.
	var k gcs.ServiceAccount
	if err := json.Unmarshal(c.Credentials, &k); err != nil {
		return nil, errors.New("the credentials are not a service account's key in JSON")
	}
	if k.TokenURI != "" {
		if u, err := url.Parse(k.TokenURI); err != nil || u.Scheme != "https" && !loopback(u.Host) {
			return nil, errors.New("the credentials must have a token_uri that begins with https://")
		}
	}
	return gcs.FromServiceAccount(k, client)
}
