// Package kms wraps and unwraps data keys with keys that never leave a cloud's key management service. It must not know what the
// data keys open, nor Kubernetes, and the monitor must not link it: who saves needs the data key and no right at the service.
package kms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
)

const (
	// callTimeout bounds one wrap or unwrap with all its retries and the token that it needs.
	callTimeout = 30 * time.Second
	// requestTimeout bounds one request.
	requestTimeout = 10 * time.Second
)

// Config says which key, and how to get in.
type Config struct {
	// URL names the key: see CheckURL. It has no secrets.
	URL string
	// Credentials are a JSON object whose fields depend on the service: see AWSCredentials and AzureCredentials, and for Google a
	// service account's key as Google gives it out.
	Credentials []byte
	// Ambient allows to take credentials from where the process runs (IRSA, workload identity, a managed identity, the
	// environment) if Credentials are empty. It is for processes whose surroundings are those of who wrote the URL.
	Ambient bool
}

// A cipher is what each service must do. It tries again what is worth it.
type cipher interface {
	encrypt(ctx context.Context, plain []byte) ([]byte, error)
	decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
}

// drivers are by the scheme of the URL.
var drivers = map[string]func(context.Context, Config, location, *http.Client) (cipher, error){
	schemeAWS:    openAWS,
	schemeGoogle: openGoogle,
	schemeAzure:  openAzure,
}

// Open returns what wraps with a key. It asks the service for nothing: whether one may use the key shows later. Each call has a
// deadline of 30 seconds, or its context's if that is sooner. The errors of calls say what is wrong in words that hold no
// secret and nothing of an answer; they have a method Reason for them.
func Open(ctx context.Context, c Config) (*secrets.Keeper, error) {
	return open(ctx, c, &http.Client{
		Timeout: requestTimeout,
		// No service sends who is right elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}

func open(ctx context.Context, c Config, client *http.Client) (*secrets.Keeper, error) {
	l, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	if len(c.Credentials) == 0 && !c.Ambient {
		return nil, errors.New("cannot open the KMS: it needs credentials: only a ClusterProviderConfig may use the provider's own")
	}
	to, err := drivers[l.scheme](ctx, c, l, client)
	if err != nil {
		return nil, fmt.Errorf("cannot open the KMS: %w", err)
	}
	return secrets.NewKeeper(&keeper{to: to}), nil
}

// A keeper is a cipher as gocloud wants it, with deadlines and with errors that have a meaning.
type keeper struct{ to cipher }

// Encrypt is what driver.Keeper asks for.
func (k *keeper) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := k.to.encrypt(ctx, plain)
	return b, explain(err)
}

// Decrypt is what driver.Keeper asks for.
func (k *keeper) Decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := k.to.decrypt(ctx, wrapped)
	return b, explain(err)
}

// Close is what driver.Keeper asks for.
func (k *keeper) Close() error { return nil }

// ErrorAs is what driver.Keeper asks for.
func (k *keeper) ErrorAs(error, any) bool { return false }

// ErrorCode is what driver.Keeper asks for.
func (k *keeper) ErrorCode(err error) gcerrors.ErrorCode {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return gcerrors.Code(err)
}
