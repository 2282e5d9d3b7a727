package kms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// AWSCredentials are an access key, in the words of the object stores' credentials. The token is only for temporary ones.
type AWSCredentials struct {
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// An awsKMS wraps with a symmetric key of AWS KMS.
type awsKMS struct {
	client *kms.Client
	key    string
}

func openAWS(ctx context.Context, c Config, l location, client *http.Client) (cipher, error) {
	cfg := aws.Config{HTTPClient: client}
	if len(c.Credentials) > 0 {
		var k AWSCredentials
		if err := decode(c.Credentials, &k); err != nil {
			return nil, err
		}
		if k.AccessKeyID == "" || k.SecretAccessKey == "" {
			return nil, errors.New("the credentials must have accessKeyID and secretAccessKey")
		}
		cfg.Credentials = credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken)
	} else {
		var err error
		// The region is also that of the token service, which IRSA asks.
		if cfg, err = config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithRegion(l.region)); err != nil {
			return nil, fmt.Errorf("cannot find credentials: %w", err)
		}
	}
	return awsKMS{key: l.key, client: kms.NewFromConfig(cfg, func(o *kms.Options) {
		o.Region = l.region
		if l.endpoint != "" {
			o.BaseEndpoint = &l.endpoint
		}
	})}, nil
}

func (a awsKMS) encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	out, err := a.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &a.key, Plaintext: plain})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// The key is named, although what is wrapped names its own: a data key that another wrapped opens what that other has written.
func (a awsKMS) decrypt(ctx context.Context, wrapped []byte) ([]byte, error) {
	out, err := a.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &a.key, CiphertextBlob: wrapped})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}

// decode reads credentials. Its errors repeat nothing of them.
func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return errors.New("the credentials are not one JSON object with the fields of this service")
	}
	return nil
}
