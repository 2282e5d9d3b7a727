//go:build integration

package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob/s3blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// large is a state of a MiB that nothing makes smaller, which begins with its number.
func large(n int) string {
	b := make([]byte, 1<<20)
	_, _ = rand.Read(b) // Never fails.
	return fmt.Sprintf("%03d", n) + string(b)
}

// TestBadNetwork spoils connections with Toxiproxy while a worker saves.
func TestBadNetwork(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	p := storetest.StartProxy(t, s.Address)
	cases := map[string]struct {
		reason string
		toxics []storetest.Toxic
		// saved says that saves must be acknowledged all the same, and else that none can be.
		saved bool
	}{
		"Latency":   {"It is only slow.", []storetest.Toxic{{Type: "latency", Attributes: map[string]int{"latency": 60, "jitter": 40}}}, true},
		"SlowClose": {"It is only slow at the end.", []storetest.Toxic{{Type: "slow_close", Attributes: map[string]int{"delay": 200}}}, true},
		"Bandwidth": {"A MiB takes half a second.", []storetest.Toxic{{Type: "bandwidth", Stream: "upstream", Attributes: map[string]int{"rate": 2048}}}, true},
		"Sliced":    {"Pieces of any size.", []storetest.Toxic{{Type: "slicer", Stream: "upstream", Attributes: map[string]int{"average_size": 4096, "size_variation": 2048, "delay": 10}}}, true},
		"CutEarly":  {"In the head of the request.", []storetest.Toxic{{Type: "limit_data", Stream: "upstream", Attributes: map[string]int{"bytes": 100}}}, false},
		"CutMiddle": {"In the middle of a chunk.", []storetest.Toxic{{Type: "limit_data", Stream: "upstream", Attributes: map[string]int{"bytes": 500000}}}, false},
		"CutAnswer": {"What is done is not told.", []storetest.Toxic{{Type: "limit_data", Attributes: map[string]int{"bytes": 10}}}, false},
		"Reset":     {"As a balancer does.", []storetest.Toxic{{Type: "reset_peer", Stream: "upstream", Attributes: map[string]int{"timeout": 5}}}, false},
		"Silence":   {"Nothing is said, and nothing closed.", []storetest.Toxic{{Type: "timeout", Attributes: map[string]int{"timeout": 0}}}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			key := checkpoint.NewDataKey()
			direct := open(t, s.Config("agents", name, s.Root))
			defer direct.Close()
			if _, err := checkpoint.Create(t.Context(), direct, key, newPool(), quick()); err != nil {
				t.Fatal(err)
			}
			session := beginsThrough(t, p, s, name, key)
			if err := save(t.Context(), session, large(0)); err != nil {
				t.Fatal(err)
			}
			for _, toxic := range tc.toxics {
				p.Add(t, toxic)
			}
			acknowledged := 0
			for n := 1; n <= 2; n++ {
				err := save(t.Context(), session, large(n))
				if err == nil {
					acknowledged = n
				}
				if tc.saved != (err == nil) {
					t.Errorf("%s But save %d: %v", tc.reason, n, err)
				}
			}
			p.Heal(t)
			if got, want := newest(t, direct, key), fmt.Sprintf("%03d", acknowledged); got[:3] < want {
				t.Errorf("save %s is acknowledged, and the newest is %s", want, got[:3])
			}
			if err := save(t.Context(), session, large(9)); err != nil {
				t.Errorf("cannot save after it healed: %v", err)
			}
			if got := newest(t, direct, key); got[:3] != "009" {
				t.Errorf("the newest is %s after it healed", got[:3])
			}
		})
	}
}

func beginsThrough(t *testing.T, p *storetest.Proxy, s *storetest.S3, prefix string, key checkpoint.DataKey) *checkpoint.Session {
	t.Helper()
	through := open(t, storetest.ConfigAt(p.Endpoint, "agents", prefix, s.Root))
	t.Cleanup(func() { through.Close() })
	r, err := checkpoint.Open(t.Context(), through, key, checkpoint.Options{Timeout: 2 * time.Second, Attempts: 2, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ClaimAt(t.Context(), "0", 1, "pod"); err != nil {
		t.Fatal(err)
	}
	session, err := r.Session(t.Context(), "0", 1)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// TestFullDisk fills the server's disk, and gives it more room later.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("only root can make a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := storetest.StartS3In(t, dir)
	s.MakeBucket(t, "agents")
	b, key := open(t, s.Config("agents", "pool", s.Root)), checkpoint.NewDataKey()
	defer b.Close()
	r, err := checkpoint.Create(t.Context(), b, key, newPool(), quick())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ClaimAt(t.Context(), "0", 1, "pod"); err != nil {
		t.Fatal(err)
	}
	session, err := r.Session(t.Context(), "0", 1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 20; n++ {
		if err = save(t.Context(), session, large(n)); err != nil {
			break
		}
	}
	if err == nil || n == 0 {
		t.Fatalf("%d MiB are on a disk of 8 MiB, %v", n, err)
	}
	t.Logf("the disk is full after %d saves: %v", n, err)
	if got, want := newest(t, b, key), fmt.Sprintf("%03d", n-1); got[:3] != want {
		t.Errorf("the newest is %s, want the last acknowledged %s", got[:3], want)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	if err := save(t.Context(), session, large(n)); err != nil {
		t.Errorf("cannot save although there is room: %v", err)
	}
	if got, want := newest(t, b, key), fmt.Sprintf("%03d", n); got[:3] != want {
		t.Errorf("the newest is %s, want %s", got[:3], want)
	}
}

// late signs as a machine does whose clock is an hour behind.
type late struct{ *v4.Signer }

func (l late) SignHTTP(ctx context.Context, k aws.Credentials, r *http.Request, hash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) error {
	return l.Signer.SignHTTP(ctx, k, r, hash, service, region, at.Add(-time.Hour), o...)
}

// TestWrongClock shows what is said then.
func TestWrongClock(t *testing.T) {
	server := storetest.StartS3(t)
	server.MakeBucket(t, "agents")
	o := server.Client().Options()
	// The schemes that are there sign with the clock of this machine; New makes others.
	o.HTTPSignerV4, o.AuthSchemes, o.Retryer = late{v4.NewSigner()}, nil, aws.NopRetryer{}
	b, err := s3blob.OpenBucket(t.Context(), s3.New(o), "agents", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = b.List(nil).Next(t.Context())
	if got := store.Explain(err); got == nil || !strings.Contains(got.Error(), "clock") {
		t.Errorf("got %v, of %v, want a word about the clock", got, err)
	}
}

// TestTwoProcessesClaim races two processes for the epochs of a slot.
func TestTwoProcessesClaim(t *testing.T) {
	const claims = 20
	ctx := t.Context()
	if url := os.Getenv("CLAIM_URL"); url != "" {
		b := open(t, store.Config{URL: url, Credentials: []byte(os.Getenv("CLAIM_CREDENTIALS"))})
		r, err := checkpoint.Open(ctx, b, checkpoint.DataKey{1}, quick())
		if err != nil {
			t.Fatal(err)
		}
		for range claims {
			e, err := r.Claim(ctx, "0", "process")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Printf("claimed %d\n", e.Epoch)
		}
		os.Exit(0) // Its connections end with it.
	}
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	c := s.Config("agents", "", s.Root)
	b := open(t, c)
	defer b.Close()
	if _, err := checkpoint.Create(ctx, b, checkpoint.DataKey{1}, newPool(), quick()); err != nil {
		t.Fatal(err)
	}
	type result struct {
		out []byte
		err error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestTwoProcessesClaim$")
			cmd.Env = append(os.Environ(), "CLAIM_URL="+c.URL, "CLAIM_CREDENTIALS="+string(c.Credentials))
			out, err := cmd.CombinedOutput()
			results <- result{out, err}
		}()
	}
	var epochs []int64
	for range 2 {
		got := <-results
		if got.err != nil {
			t.Error(errors.Join(got.err, errors.New(string(got.out))))
		}
		for line := range strings.Lines(string(got.out)) {
			var e int64
			if _, err := fmt.Sscanf(line, "claimed %d", &e); err == nil {
				epochs = append(epochs, e)
			}
		}
	}
	slices.Sort(epochs)
	if len(epochs) != 2*claims || len(slices.Compact(epochs)) != 2*claims {
		t.Errorf("two processes claimed %v, want %d different epochs", epochs, 2*claims)
	}
}
