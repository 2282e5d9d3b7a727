package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const (
	// googleScope allows to use keys and nothing else that is Google's.
	googleScope    = "https://www.googleapis.com/auth/cloudkms"
	googleEndpoint = "https://cloudkms.googleapis.com"
	// maxAnswer bounds what is read of an answer, in bytes: 64 KiB is the most that the service wraps.
	maxAnswer = 256 << 10
)

// A googleKMS wraps with a symmetric key of Cloud KMS, by its REST interface: two requests are not worth gRPC and a client.
type googleKMS struct {
	client *http.Client
	tokens oauth2.TokenSource
	url    string
}

func openGoogle(ctx context.Context, c Config, l location, client *http.Client) (cipher, error) {
	tokens, err := googleTokens(ctx, c, client)
	if err != nil {
		return nil, err
	}
	base := l.endpoint
	if base == "" {
		base = googleEndpoint
	}
	return googleKMS{client: client, tokens: tokens, url: base + "/v1/" + l.key}, nil
}

func googleTokens(ctx context.Context, c Config, client *http.Client) (oauth2.TokenSource, error) {
	// A token outlives the call that it was asked for.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client)
	if len(c.Credentials) == 0 {
		found, err := google.FindDefaultCredentials(ctx, googleScope)
		if err != nil {
			return nil, errors.New("there are no credentials of Google where this runs")
		}
		return found.TokenSource, nil
	}
	// Only this type: others name files and addresses that their reader is to get tokens from.
	conf, err := google.JWTConfigFromJSON(c.Credentials, googleScope)
	if err != nil {
		return nil, errors.New("the credentials must be the key of a service account, in JSON")
	}
	if u, err := url.Parse(conf.TokenURL); err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, errors.New("the credentials must have a token_uri that begins with https://")
	}
	return conf.TokenSource(ctx), nil
}

// A googleText is a text with its checksum, in either direction. The service asks that both ends look at them.
type googleText struct {
	Plaintext        []byte `json:"plaintext,omitempty"`
	PlaintextCRC32C  string `json:"plaintextCrc32c,omitempty"`
	Ciphertext       []byte `json:"ciphertext,omitempty"`
	CiphertextCRC32C string `json:"ciphertextCrc32c,omitempty"`
}

func (g googleKMS) encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	out, err := g.call(ctx, "encrypt", googleText{Plaintext: plain, PlaintextCRC32C: crc32c(plain)})
	if err != nil {
		return nil, err
	}
	if len(out.Ciphertext) == 0 || out.CiphertextCRC32C != crc32c(out.Ciphertext) {
		return nil, errGarbled
	}
	return out.Ciphertext, nil
}

func (g googleKMS) decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	out, err := g.call(ctx, "decrypt", googleText{Ciphertext: wrapped, CiphertextCRC32C: crc32c(wrapped)})
	if err != nil {
		return nil, err
	}
	if out.PlaintextCRC32C != crc32c(out.Plaintext) {
		return nil, errGarbled
	}
	return out.Plaintext, nil
}

func (g googleKMS) call(ctx context.Context, verb string, in googleText) (googleText, error) {
	var out googleText
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+":"+verb, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	token, err := g.tokens.Token()
	if err != nil {
		return out, &tokenError{err}
	}
	token.SetAuthHeader(req)
	req.Header.Set("Content-Type", "application/json")
	res, err := g.client.Do(req)
	if err != nil {
		return out, err
	}
	defer res.Body.Close() // It was read as far as it is of use.
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return out, err
	}
	if res.StatusCode != http.StatusOK {
		return out, readGoogleError(res.StatusCode, b)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return out, errGarbled
	}
	return out, nil
}

// A googleError is what the service refuses with, without its text.
type googleError struct {
	status int
	// name is that of the canonical code, and reason what is finer, if it says so.
	name, reason string
}

// Error says the code.
func (e *googleError) Error() string { return fmt.Sprintf("status %d %s", e.status, e.name) }

func readGoogleError(status int, body []byte) error {
	var said struct {
		Error struct {
			Status  string `json:"status"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	e := &googleError{status: status}
	if json.Unmarshal(body, &said) == nil {
		e.name = said.Error.Status
		for _, d := range said.Error.Details {
			if d.Reason != "" {
				e.reason = d.Reason
			}
		}
	}
	return e
}

// A tokenError is about the token that a request needs.
type tokenError struct{ err error }

// Error leaves out what was said, which may repeat what was sent.
func (e *tokenError) Error() string { return "cannot get a token" }

// Unwrap returns what happened, which must not be shown.
func (e *tokenError) Unwrap() error { return e.err }

func crc32c(b []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 10)
}
