package storetest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A Fault is an answer that a store gives instead of doing what was asked for, or after having done it.
type Fault struct {
	// Status and Code are those of S3. With status 0 the connection is cut without an answer.
	Status int
	Code   string
	// Done says that the request is done before.
	Done bool
	// At is the number of the first request that it happens to, from 1; Forever that it happens to all after it, too.
	At      int
	Forever bool
	// But, if it is not 0, spares each request whose number it divides.
	But int
	// Then is called when it happens, once it is done where it is to be, and before there is an answer. It may be nil.
	Then func()
}

// A Faulty is a server before an S3 server that passes requests on but for faults. S3's signatures hold, as it changes nothing.
type Faulty struct {
	Endpoint string

	mu    sync.Mutex
	fault Fault
	seen  int
}

// StartFaulty starts one that has no fault yet.
func StartFaulty(t testing.TB, s *S3) *Faulty {
	t.Helper()
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	f := &Faulty{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		Transport: &http.Transport{DisableCompression: true},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, hit := f.next()
		if !hit {
			pass.ServeHTTP(w, r)
			return
		}
		if fault.Done {
			pass.ServeHTTP(httptest.NewRecorder(), r)
		}
		if fault.Then != nil {
			fault.Then()
		}
		if fault.Status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(fault.Status)
		_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>played</Message></Error>", fault.Code)
	}))
	t.Cleanup(func() {
		server.Close()
		pass.Transport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // It is made above.
	})
	f.Endpoint = server.URL
	return f
}

// Set begins to count requests anew, with a fault to come. The zero fault never comes.
func (f *Faulty) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.seen = fault, 0
}

// Seen is how many requests there were since Set.
func (f *Faulty) Seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *Faulty) next() (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	hit := f.fault.At > 0 && (f.seen == f.fault.At || f.fault.Forever && f.seen > f.fault.At)
	hit = hit && (f.fault.But == 0 || f.seen%f.fault.But != 0)
	return f.fault, hit
}
