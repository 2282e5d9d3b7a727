package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// S3Credentials are an access key. The token is only for temporary ones.
type S3Credentials struct {
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken,omitempty"`
}

// anyRegion is what stores that are not Amazon's take for granted.
const anyRegion = "us-east-1"

func (c Config) openS3(ctx context.Context, l location, client *http.Client) (*blob.Bucket, error) {
	cfg, err := c.awsConfig(ctx, client)
	if err != nil {
		return nil, err
	}
	cfg.Region = l.params.Get("region")
	if cfg.Region == "" {
		cfg.Region = anyRegion
	}
	// Who uses the bucket tries again, with a deadline for each request.
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	// The signature is over the body's SHA-256 already, and not every store knows Amazon's other checksums.
	cfg.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	cfg.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired

	opts := &s3blob.Options{
		RequestChecksumCalculation: cfg.RequestChecksumCalculation,
		KMSEncryptionID:            l.params.Get("kmskeyid"),
		EncryptionType:             types.ServerSideEncryption(l.params.Get("ssetype")),
	}
	if opts.EncryptionType != "" && !slices.Contains(opts.EncryptionType.Values(), opts.EncryptionType) {
		return nil, fmt.Errorf("ssetype must be one of %q", opts.EncryptionType.Values())
	}
	s := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = l.flag("use_path_style", "s3ForcePathStyle")
		if endpoint := l.params.Get("endpoint"); endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	})
	return s3blob.OpenBucket(ctx, s, l.bucket, opts)
}

func (c Config) awsConfig(ctx context.Context, client *http.Client) (aws.Config, error) {
	if len(c.Credentials) == 0 && c.Ambient {
		cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client))
		if err != nil {
			return aws.Config{}, fmt.Errorf("cannot find credentials: %w", err)
		}
		return cfg, nil
	}
	if len(c.Credentials) == 0 {
		return aws.Config{HTTPClient: client, Credentials: aws.AnonymousCredentials{}}, nil
	}
	var k S3Credentials
	if err := decode(c.Credentials, &k); err != nil {
		return aws.Config{}, err
	}
	if k.AccessKeyID == "" || k.SecretAccessKey == "" {
		return aws.Config{}, errors.New("the credentials must have accessKeyID and secretAccessKey")
	}
	return aws.Config{
		HTTPClient:  client,
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
	}, nil
}

// decode reads credentials. Its errors repeat nothing of them.
func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return errors.New("the credentials are not one JSON object with the fields of this store")
	}
	return nil
}
