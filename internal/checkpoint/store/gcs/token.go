package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	// scope allows to read and write objects, and not to change who may.
	scope = "https://www.googleapis.com/auth/devstorage.read_write"
	// defaultTokenURI is Google's own.
	defaultTokenURI = "https://oauth2.googleapis.com/token"
	// metadataURI is where Google's machines and pods get the token of their service account.
	metadataURI = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
	// tokenTimeout bounds one request for a token, whoever waits for it.
	tokenTimeout = 20 * time.Second
)

// A ServiceAccount is a service account's key, as Google gives it out. Other fields are not needed.
type ServiceAccount struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	TokenURI     string `json:"token_uri"`
}

// FromServiceAccount returns the tokens of a service account, each asked for when the one before expires.
func FromServiceAccount(k ServiceAccount, client *http.Client) (oauth2.TokenSource, error) {
	if k.Type != "service_account" || k.ClientEmail == "" || k.PrivateKey == "" {
		return nil, errors.New("the credentials must be the key of a service_account, with client_email and private_key")
	}
	if k.TokenURI == "" {
		k.TokenURI = defaultTokenURI
	}
	c := jwt.Config{
		Email: k.ClientEmail, PrivateKey: []byte(k.PrivateKey), PrivateKeyID: k.PrivateKeyID, Scopes: []string{scope}, TokenURL: k.TokenURI,
	}
	bounded := *client
	bounded.Timeout = tokenTimeout
	return c.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, &bounded)), nil
}

// Ambient returns the tokens of the machine's or pod's own service account (Workload Identity).
func Ambient() oauth2.TokenSource {
	// The metadata server is next door, and never behind a proxy.
	return oauth2.ReuseTokenSource(nil, metadata{uri: metadataURI, client: &http.Client{Transport: &http.Transport{}, Timeout: tokenTimeout}})
}

type metadata struct {
	uri    string
	client *http.Client
}

// Token asks the metadata server.
func (m metadata) Token() (*oauth2.Token, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, m.uri, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Metadata-Flavor", "Google")
	res, err := m.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer drop(res)
	if res.StatusCode != http.StatusOK {
		return nil, &Error{Status: res.StatusCode, Token: true}
	}
	var t struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
		TokenType   string `json:"token_type"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&t); err != nil || t.AccessToken == "" {
		return nil, errors.New("cannot read the token")
	}
	return &oauth2.Token{
		AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: time.Now().Add(time.Duration(t.ExpiresIn) * time.Second),
	}, nil
}

// tokenError keeps the status and nothing of the text, which may repeat what was sent.
func tokenError(err error) error {
	var r *oauth2.RetrieveError
	if errors.As(err, &r) && r.Response != nil {
		return &Error{Status: r.Response.StatusCode, Token: true}
	}
	return fmt.Errorf("cannot get a token: %w", err)
}
