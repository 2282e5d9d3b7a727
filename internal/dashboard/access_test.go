package dashboard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
)

// newPage returns a page that asks an API server of access.
func newPage(t *testing.T, apiserver http.HandlerFunc) *httptest.Server {
	t.Helper()

	api := httptest.NewServer(apiserver)
	t.Cleanup(api.Close)

	access, err := NewAccess(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}

	s := httptest.NewServer(New(Options{Access: access, Log: logging.NewNopLogger()}, NewRequests()).Handler())
	t.Cleanup(s.Close)

	return s
}

func ask(t *testing.T, url, token string) (code int, body string) {
	t.Helper()

	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	r.Header.Set("Authorization", "Bearer "+token)

	rsp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)

		return 0, ""
	}
	defer rsp.Body.Close()

	var b strings.Builder
	if err := rsp.Write(&b); err != nil {
		t.Error(err)
	}

	return rsp.StatusCode, b.String()
}

// Readers that come while as many as may are waiting are told to come again, and nobody waits for ever.
func TestBusy(t *testing.T) {
	free := make(chan struct{})
	s := newPage(t, func(w http.ResponseWriter, _ *http.Request) {
		<-free
		http.Error(w, "away", http.StatusServiceUnavailable)
	})

	var wg sync.WaitGroup

	for range atOnce {
		wg.Go(func() { ask(t, s.URL, "a") })
	}

	for begun := time.Now(); ; {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}

		rsp, err := (&http.Client{Timeout: 100 * time.Millisecond}).Do(r)
		if err == nil {
			rsp.Body.Close()
		}

		// Until all of them wait, one more is heard, and told that it did not say who it is.
		if err == nil && rsp.StatusCode != http.StatusUnauthorized {
			if rsp.StatusCode != http.StatusServiceUnavailable || rsp.Header.Get("Retry-After") == "" {
				t.Errorf("one too many is answered by %d, to come again after %q", rsp.StatusCode, rsp.Header.Get("Retry-After"))
			}

			break
		}

		if time.Since(begun) > time.Minute {
			t.Fatalf("one too many waits: %v", err)
		}
	}

	close(free)
	wg.Wait()
}

// While nobody can say who a reader is nobody sees anything, nor what went wrong.
func TestNoAPIServer(t *testing.T) {
	s := newPage(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret-detail", http.StatusBadRequest) })

	if code, body := ask(t, s.URL, "a"); code != http.StatusServiceUnavailable || strings.Contains(body, "secret-detail") {
		t.Errorf("%d: %s", code, body)
	}

	if code, _ := ask(t, s.URL, strings.Repeat("a", maxToken+1)); code != http.StatusUnauthorized {
		t.Errorf("a token that is none is answered by %d", code)
	}
}

// Rights are those of all that is known of a user: two who differ in one group are two.
func TestIdentify(t *testing.T) {
	user := authnv1.UserInfo{Username: "a", UID: "1", Groups: []string{"x", "y"}, Extra: map[string]authnv1.ExtraValue{"k": {"v"}}}
	same := user
	same.Groups = []string{"y", "x"}

	if identify(user) != identify(same) {
		t.Error("the order of groups makes another reader")
	}

	for name, change := range map[string]func(*authnv1.UserInfo){
		"name": func(u *authnv1.UserInfo) { u.Username = "b" }, "uid": func(u *authnv1.UserInfo) { u.UID = "2" },
		"groups": func(u *authnv1.UserInfo) { u.Groups = []string{"x"} }, "quotes": func(u *authnv1.UserInfo) { u.Groups = []string{`x" "y`} },
		"extra": func(u *authnv1.UserInfo) { u.Extra = map[string]authnv1.ExtraValue{"k": {"w"}} },
	} {
		other := user
		change(&other)

		if identify(other) == identify(user) {
			t.Errorf("another %s is the same reader", name)
		}
	}
}
