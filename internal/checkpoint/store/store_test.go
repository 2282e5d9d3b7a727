package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

func TestCheckURL(t *testing.T) {
	cases := map[string]struct {
		reason string
		url    string
		want   string // A part of the error; empty for none.
	}{
		"S3":               {"Amazon's own needs the region.", "s3://bucket?region=eu-west-1", ""},
		"S3Compatible":     {"Others need an endpoint.", "s3://bucket?endpoint=http://minio.storage:9000&s3ForcePathStyle=true", ""},
		"S3Encrypted":      {"Some buckets take nothing else.", "s3://bucket?region=eu-west-1&ssetype=aws:kms&kmskeyid=alias/x", ""},
		"S3Nowhere":        {"Nobody guesses a region.", "s3://bucket", "region"},
		"S3Path":           {"What is below the bucket is the prefix.", "s3://bucket/prefix?region=eu-west-1", "prefix"},
		"S3NoBucket":       {"A bucket must have a name.", "s3://?region=eu-west-1", "name of a bucket"},
		"Azure":            {"The account may be in the credentials.", "azblob://container", ""},
		"AzureAccount":     {"Or in the URL.", "azblob://container?storage_account=a&domain=blob.core.chinacloudapi.cn", ""},
		"AzureEmulator":    {"Loopback may be plain.", "azblob://container?storage_account=a&protocol=http&domain=127.0.0.1:10000&localemu=true", ""},
		"AzurePlain":       {"A token must not be sent in plain text.", "azblob://container?storage_account=a&protocol=http", "https"},
		"Google":           {"A name is enough.", "gs://bucket", ""},
		"GooglePlain":      {"A token must not be sent in plain text.", "gs://bucket?endpoint=http://example.org", "https"},
		"GoogleEmulator":   {"Loopback may be plain.", "gs://bucket?endpoint=http://localhost:4443", ""},
		"File":             {"Three slashes.", "file:///var/lib/checkpoints", ""},
		"FileHost":         {"Two make a host of the first name.", "file://var/lib", "file:///"},
		"FileNothing":      {"Nobody means the root.", "file:///", "directory"},
		"Memory":           {"For tests.", "mem://", ""},
		"Unknown":          {"There are no others.", "ftp://bucket", "must begin with"},
		"None":             {"An empty one is none.", "", "must begin with"},
		"User":             {"A URL is shown to people.", "s3://key:hunter2@bucket?region=r", "Secret"},
		"Password":         {"In parameters, too.", "s3://bucket?region=r&secret_access_key=hunter2", "Secret"},
		"SAS":              {"In any store's.", "azblob://container?sig=hunter2", "Secret"},
		"EndpointPassword": {"And in the endpoint.", "s3://bucket?endpoint=https://key:hunter2@example.org", "nothing else"},
		"EndpointFile":     {"An endpoint is HTTP.", "s3://bucket?endpoint=file:///etc", "http://"},
		"Unreadable":       {"What url.Parse says repeats all of it.", "s3://hunter2\x7f", "none"},
		"Twice":            {"Which one would be meant?", "s3://bucket?region=a&region=b", "one value"},
		"NotABool":         {"Not what Go's own parser takes.", "s3://bucket?region=a&use_path_style=yes", "true or false"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := CheckURL(tc.url)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: got %v, want an error with %q", tc.reason, err, tc.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%s: the error repeats a secret: %v", tc.reason, err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	const s3 = "s3://bucket?region=eu-west-1"
	cases := map[string]struct {
		reason string
		config Config
		want   string
	}{
		"NotJSON":    {"What was mounted is something else.", Config{URL: s3, Credentials: []byte("hunter2")}, "JSON object"},
		"Misspelt":   {"A misspelt field must not be left out silently.", Config{URL: s3, Credentials: []byte(`{"accessKeyId2":"a","secret":"hunter2"}`)}, "fields of this store"},
		"Half":       {"Half a key opens nothing.", Config{URL: s3, Credentials: []byte(`{"secretAccessKey":"hunter2"}`)}, "accessKeyID"},
		"SSE":        {"The store would refuse it later.", Config{URL: s3 + "&ssetype=rot13"}, "ssetype"},
		"AzureBoth":  {"Which one would be meant?", Config{URL: "azblob://c", Credentials: []byte(`{"account":"a","key":"aGk=","sasToken":"hunter2"}`)}, "either"},
		"AzureOther": {"The URL says one account and the key another.", Config{URL: "azblob://c?storage_account=b", Credentials: []byte(`{"account":"a","key":"aGk="}`)}, "same"},
		"AzureKey":   {"A key is base64.", Config{URL: "azblob://c", Credentials: []byte(`{"account":"a","key":"hunter2!"}`)}, "not one of an account"},
		"Google":     {"A user's own credentials are not a worker's.", Config{URL: "gs://b", Credentials: []byte(`{"type":"authorized_user","refresh_token":"hunter2"}`)}, "service_account"},
		"GoogleURI":  {"The key's signature must not go in plain text.", Config{URL: "gs://b", Credentials: []byte(`{"type":"service_account","token_uri":"http://example.org/hunter2"}`)}, "https"},
		"CA":         {"A file of something else.", Config{URL: s3, CA: []byte("hunter2")}, "PEM"},
		"Prefix":     {"A prefix must not lead elsewhere.", Config{URL: "mem://", Prefix: "../other"}, "prefix"},
		"Slash":      {"One pool has one prefix.", Config{URL: "mem://", Prefix: "a/"}, "prefix"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := Open(t.Context(), tc.config)
			if err == nil {
				b.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: got %v, want an error with %q and without a secret", tc.reason, err, tc.want)
			}
		})
	}
}

func TestPrefix(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	open := func(prefix string) *blob.Bucket {
		b, err := Open(ctx, Config{URL: "file://" + dir + "/made", Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	all, a, ab := open(""), open("team/a"), open("team/ab")
	if err := a.WriteAll(ctx, "x/y", []byte("of a"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ab.ReadAll(ctx, "x/y"); gcerrors.Code(err) != gcerrors.NotFound {
		t.Errorf("another prefix reads it: %v", err)
	}
	var got []string
	for b, prefix := range map[*blob.Bucket]string{all: "", a: "", ab: ""} {
		it := b.List(&blob.ListOptions{Prefix: prefix})
		for {
			o, err := it.Next(ctx)
			if err != nil {
				break
			}
			got = append(got, o.Key)
		}
	}
	if diff := cmp.Diff(2, len(got)); diff != "" {
		t.Errorf("objects listed below all three (-want +got):\n%s%v", diff, got)
	}
}

func TestExplain(t *testing.T) {
	if explain(nil) != nil {
		t.Error("no error must stay none")
	}
	if err := explain(context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline must stay one, got %v", err)
	}
	secret := errors.New("hunter2")
	err := explain(secret)
	if strings.Contains(err.Error(), "hunter2") || !errors.Is(err, secret) {
		t.Errorf("got %v, want the error within and not its text", err)
	}
	// A store may refuse with the status of what is not there.
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	_, missing := mem.ReadAll(t.Context(), "x")
	err = explain(errors.Join(missing, &smithy.GenericAPIError{Code: "AccessDenied"}))
	if code := (&explained{}).ErrorCode(err); code != gcerrors.PermissionDenied || gcerrors.Code(err) == gcerrors.NotFound {
		t.Errorf("a refusal is taken for %v and %v", code, gcerrors.Code(err))
	}
}
