package monitors

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Who says that it is another, answers nonsense or nothing says nothing.
func TestStatus(t *testing.T) {
	status := func(name string) string {
		b, _ := json.Marshal(monitorapi.Status{Namespace: "ns", Pod: name})

		return string(b)
	}
	cases := map[string]struct {
		reason string
		answer http.HandlerFunc
		want   bool
	}{
		"Itself":  {reason: "A worker's own status.", answer: func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, status("a")) }, want: true},
		"Another": {reason: "The address is another pod's by now.", answer: func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, status("b")) }},
		"Error":   {reason: "An error.", answer: func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, status("a"), http.StatusBadGateway) }},
		"Text":    {reason: "No status.", answer: func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello") }},
		"Endless": {reason: "A status that does not end.", answer: func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, `{"pod":"`+strings.Repeat("a", largest))
		}},
		"Away": {reason: "Nothing.", answer: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.answer)
			defer srv.Close()

			at, _ := url.Parse(srv.URL)

			c := NewClient(redirected{at.Host, srv.Client().Transport})
			defer c.Close()

			if _, err := c.Status(t.Context(), "a", "192.0.2.1"); (err == nil) != tc.want {
				t.Errorf("%s\nit was taken for an answer: %t (%v)", tc.reason, err == nil, err)
			}
		})
	}
}

// redirected asks one server, whatever is asked.
type redirected struct {
	host string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (d redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = d.host

	return d.next.RoundTrip(r)
}
