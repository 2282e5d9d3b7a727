package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The page is shown to who was told the key, under the name that was printed, and the token goes to the provider only.
func TestDoorman(t *testing.T) {
	provider := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %q, cookies %d", r.URL.Path, r.Header.Get("Authorization"), len(r.Cookies()))
	}))
	t.Cleanup(provider.Close)

	d := &doorman{key: "k", next: proxyTo(strings.TrimPrefix(provider.URL, "https://")), token: "Bearer mine", at: time.Now()}
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)

	d.host = strings.TrimPrefix(s.URL, "http://")

	cases := map[string]struct {
		reason, path, host, cookie, bearer string
		code                               int
		want                               string
	}{
		"Key":         {reason: "The key becomes a cookie, and leaves the address.", path: "/namespaces/a?key=k", code: http.StatusSeeOther},
		"Cookie":      {reason: "With it the page is shown, with the reader's token and no other.", path: "/x", cookie: "k", bearer: "Bearer other", code: http.StatusOK, want: `/x for "Bearer mine", cookies 0`},
		"Nothing":     {reason: "Without it nobody sees anything.", path: "/x", code: http.StatusForbidden, want: "with its key"},
		"Guess":       {reason: "Nor with another.", path: "/x?key=j", cookie: "j", code: http.StatusForbidden, want: "with its key"},
		"AnotherName": {reason: "A page elsewhere whose name leads here is not served.", path: "/x", cookie: "k", host: "evil.example.org", code: http.StatusMisdirectedRequest},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}

			if tc.host != "" {
				r.Host = tc.host
			}

			if tc.cookie != "" {
				r.AddCookie(&http.Cookie{Name: pageCookie, Value: tc.cookie})
			}

			r.Header.Set("Authorization", tc.bearer)

			rsp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()

			b, err := io.ReadAll(rsp.Body)
			if err != nil || rsp.StatusCode != tc.code || !strings.Contains(string(b), tc.want) {
				t.Errorf("%s\n%d, error %v: %s", tc.reason, rsp.StatusCode, err, b)
			}

			if tc.code != http.StatusSeeOther {
				return
			}

			to, err := url.Parse(rsp.Header.Get("Location"))
			if err != nil || to.Path != "/namespaces/a" || to.RawQuery != "" || to.Host != "" {
				t.Errorf("%s\nit leads to %q", tc.reason, rsp.Header.Get("Location"))
			}

			if c := rsp.Cookies(); len(c) != 1 || c[0].Value != "k" || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode {
				t.Errorf("%s\nthe cookies are %v", tc.reason, c)
			}
		})
	}
}
