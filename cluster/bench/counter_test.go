//go:build bench

package bench

import (
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A counter stands before a store, lets everything through, and counts it.
type counter struct {
	url string

	mu     sync.Mutex
	polls  map[string]int    // By collection.
	other  map[string]int    // By method and the last word of the path.
	second map[int64]int     // Requests by second.
	conns  map[net.Conn]bool // Those that are open.
	most   int
}

// count puts a counter before a Chroma server until the test ends.
func count(t *testing.T, endpoint string) *counter {
	t.Helper()

	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}

	c := &counter{conns: map[net.Conn]bool{}}
	c.reset()

	p := &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.saw(r)
		p.ServeHTTP(w, r)
	}))
	s.Config.ConnState = c.connection
	s.Start()
	t.Cleanup(s.Close)

	c.url = s.URL

	return c
}

// saw counts a request. One for a collection by its name is a poll: whatever else is asked follows from it.
func (c *counter) saw(r *http.Request) {
	_, rest, _ := strings.Cut(r.URL.Path, "/collections")
	words := strings.Split(strings.Trim(rest, "/"), "/")

	c.mu.Lock()
	defer c.mu.Unlock()

	c.second[time.Now().Unix()]++

	switch {
	case r.Method == http.MethodGet && len(words) == 1:
		c.polls[words[0]]++
	case len(words) == 2:
		c.other[r.Method+" "+words[1]]++
	default:
		c.other[r.Method]++
	}
}

func (c *counter) connection(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()

	switch s {
	case http.StateClosed, http.StateHijacked:
		delete(c.conns, conn)
	default:
		c.conns[conn] = true
		c.most = max(c.most, len(c.conns))
	}
}

// reset begins to count anew.
func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.polls, c.other, c.second, c.most = map[string]int{}, map[string]int{}, map[int64]int{}, len(c.conns)
}

// What was counted.
type counts struct {
	polls, requests         int
	fewest, oftenest        int // Polls of one collection.
	busiest                 int // Requests in one second.
	other                   map[string]int
	connections, mostAtOnce int
}

// read returns what was counted of n collections.
func (c *counter) read(n int) counts {
	c.mu.Lock()
	defer c.mu.Unlock()

	out := counts{other: maps.Clone(c.other), connections: len(c.conns), mostAtOnce: c.most}
	per := slices.Collect(maps.Values(c.polls))

	for _, p := range per {
		out.polls += p
	}

	for _, s := range c.second {
		out.requests += s
		out.busiest = max(out.busiest, s)
	}

	if len(per) > 0 {
		out.oftenest = slices.Max(per)
	}

	if len(per) == n {
		out.fewest = slices.Min(per)
	}

	return out
}
