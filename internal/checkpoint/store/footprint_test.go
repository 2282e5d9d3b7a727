package store

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// footprint is the most KiB of memory of its own, beside the program's pages, that a process may have at rest which links every
// store and has three of them open.
const footprint = 4 << 10

// TestFootprint runs this test's own binary as such a process. It holds the testing library as well.
func TestFootprint(t *testing.T) {
	if os.Getenv("FOOTPRINT") != "" {
		measure(t)
		return
	}
	if testing.Short() {
		t.Skip("tests are short under the race detector, whose own memory this would measure")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFootprint$", "-test.v")
	cmd.Env = append(os.Environ(), "FOOTPRINT=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot run itself: %v\n%s", err, out)
	}
	_, after, found := strings.Cut(string(out), "RssAnon:")
	if !found {
		t.Skip("this system does not say how much memory a process takes")
	}
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB of its own with S3, Azure and Google opened", kib)
	if kib > footprint {
		t.Errorf("%d KiB of its own, want at most %d", kib, footprint)
	}
}

func measure(t *testing.T) {
	t.Helper()

	for _, c := range []Config{
		{URL: "s3://bucket?region=eu-west-1", Credentials: []byte(`{"accessKeyID":"a","secretAccessKey":"b"}`)},
		{URL: "azblob://container", Credentials: []byte(`{"account":"a","key":"aGVsbG8="}`)},
		{URL: "gs://bucket", Credentials: []byte(`{"type":"service_account","client_email":"a@example.org","private_key":"none"}`)},
	} {
		b, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() }) // Nothing was written.
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	t.Log(string(status))
}
