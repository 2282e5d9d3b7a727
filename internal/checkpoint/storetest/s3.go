package storetest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
)

const region = "us-east-1"

// An S3 is versitygw, a server of S3 over a directory, with conditional writes, users and bucket policies.
type S3 struct {
	// Endpoint is its URL, and Address its host and port.
	Endpoint, Address string
	// Dir has a directory for each bucket.
	Dir  string
	Root store.S3Credentials

	program string
}

// StartS3 starts a server that keeps its objects in a directory of the test's.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	return StartS3In(t, t.TempDir())
}

// StartS3In starts a server that keeps its objects below a directory, and all else elsewhere.
func StartS3In(t testing.TB, dir string) *S3 {
	t.Helper()
	s := &S3{
		Address: "127.0.0.1:" + freePort(t), Dir: dir, program: inCache(t, "bin", "versitygw"),
		Root: store.S3Credentials{AccessKeyID: "root", SecretAccessKey: "secret-of-root"},
	}
	s.Endpoint = "http://" + s.Address
	own := t.TempDir()
	for _, d := range []string{"meta", "iam"} {
		if err := os.Mkdir(filepath.Join(own, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// The server ends with the test, after whatever else the test cleans up in it.
	cmd := exec.CommandContext(context.Background(), s.program,
		"--port", s.Address, "--region", region, "--iam-dir", filepath.Join(own, "iam"), "--quiet", "--keep-alive",
		"posix", "--sidecar", filepath.Join(own, "meta"), dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.Root.AccessKeyID, "ROOT_SECRET_KEY="+s.Root.SecretAccessKey)
	start(t, s.Address, cmd)
	return s
}

// Config of a bucket, or of what is below a prefix in it, for who has the credentials.
func (s *S3) Config(bucket, prefix string, k store.S3Credentials) store.Config {
	return ConfigAt(s.Endpoint, bucket, prefix, k)
}

// ConfigAt is for a server that is reached at another endpoint, such as a proxy's.
func ConfigAt(endpoint, bucket, prefix string, k store.S3Credentials) store.Config {
	b, err := json.Marshal(k) //nolint:gosec // Credentials are what it is for, and these are a test's.
	if err != nil {
		panic(err) // It is three strings.
	}
	return store.Config{
		URL:    "s3://" + bucket + "?region=" + region + "&use_path_style=true&endpoint=" + endpoint,
		Prefix: prefix, Credentials: b,
	}
}

// Client of the server, for what a store cannot do.
func (s *S3) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: &s.Endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.Root.AccessKeyID, s.Root.SecretAccessKey, ""),
	})
}

// MakeBucket makes a bucket.
func (s *S3) MakeBucket(t testing.TB, name string) {
	t.Helper()
	if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatalf("cannot make bucket %s: %v", name, err)
	}
}

// MakeUser makes a user that may do nothing until a policy says so.
func (s *S3) MakeUser(t testing.TB, name string) store.S3Credentials {
	t.Helper()
	k := store.S3Credentials{AccessKeyID: name, SecretAccessKey: "secret-of-" + name}
	cmd := exec.CommandContext(t.Context(), s.program, "admin", "--endpoint-url", s.Endpoint, "--region", region,
		"--access", s.Root.AccessKeyID, "--secret", s.Root.SecretAccessKey,
		"create-user", "--access", k.AccessKeyID, "--secret", k.SecretAccessKey, "--role", "user")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot make user %s: %v\n%s", name, err, out)
	}
	return k
}

// SetPolicy sets a bucket's policy.
func (s *S3) SetPolicy(t testing.TB, bucket, policy string) {
	t.Helper()
	_, err := s.Client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String(bucket), Policy: aws.String(policy)})
	if err != nil {
		t.Fatalf("cannot set the policy of bucket %s: %v", bucket, err)
	}
}
