//go:build integration

package dashboard

import (
	"crypto/tls"
	"flag"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/internal/controller/slot"
)

var update = flag.Bool("update", false, "write the page's pictures into docs/")

// TestPage: a reader sees what the API server lets that reader read, and nobody else anything.
func TestPage(t *testing.T) {
	twoTeams(t)

	pools, pods, scalers := rule("southwest.ai", "aidispatchers", "get", "list"), rule("", "pods", "list"), rule("agent.southwest.ai", "agentscalers", "get")
	ledger, monitor := rule("", "configmaps", "get"), rule("", "pods/proxy", "get")
	ledger.ResourceNames = []string{slot.LedgerName("coder-agent-pool")}
	one := rule("southwest.ai", "aidispatchers", "get")
	one.ResourceNames = []string{"planner-pool"}

	tokens := map[string]string{
		"all": newReader(t, "reader-of-all", "", pools, pods, scalers, ledger, monitor), "a": newReader(t, "reader-of-a", "team-a", pools, pods, scalers, ledger, monitor),
		"a-pools": newReader(t, "reader-of-pools", "team-a", pools), "a-pods": newReader(t, "reader-of-pods", "team-a", pools, pods),
		"a-slots": newReader(t, "reader-of-slots", "team-a", pools, pods, ledger), "a-monitors": newReader(t, "reader-of-monitors", "team-a", pools, pods, monitor),
		"a-scalers": newReader(t, "reader-of-scalers", "team-a", pools, pods, scalers), "b-one": newReader(t, "reader-of-one", "team-b", one),
		"none": newReader(t, "reader-of-none", ""), "wrong": "not.a.token", "": "",
	}

	s, address := serve(t)
	remember(s, "team-a", "coder-agent-pool", 15, func(ago time.Duration) int64 {
		switch {
		case ago > 38*time.Minute:
			return 3
		case ago > 3*time.Minute:
			return 6
		default:
			return 5
		}
	})
	remember(s, "team-b", "planner-pool", 2, func(time.Duration) int64 { return 3 })

	t.Run("Access", func(t *testing.T) { testAccess(t, address, tokens) })
	t.Run("History", func(t *testing.T) { testHistory(t, s) })
	t.Run("Commands", func(t *testing.T) { testCommands(t, tokens["a"]) })
	t.Run("Browser", func(t *testing.T) { testBrowser(t, address, tokens["all"]) })
}

const poolOfA, poolOfB = "/namespaces/team-a/pools/coder-agent-pool", "/namespaces/team-b/pools/planner-pool"

func testAccess(t *testing.T, address string, tokens map[string]string) {
	t.Helper()

	secrets := []string{"planner-pool", "release-reviewers", "team-b"}
	// What the page tells of a pool's workers, by where it is from; each with a word of what takes its place.
	ledger := []string{`data-label="Slot" class="n slot">0<`, `data-label="Epoch" class="n">6<`, "Hibernated"}
	monitor := []string{"0000000001-0000000118", "412,903", "Draining", "its monitor does not answer"}
	scaler := []string{"0000000005-0000000031", "59f688ff44-b92zv", "LoadLower", "4 wanted"}
	noLedger, noMonitor, noScaler := "<code>configmaps</code>", "to get <code>pods/proxy</code>", "to get <code>agentscalers.agent.southwest.ai</code> for what was saved"
	cases := map[string]struct {
		reason, reader, path string
		code                 int
		has, lacks           []string
	}{
		"NoToken":       {reason: "Without a token there is nothing to see.", path: "/", code: 401, lacks: append(secrets, "team-a")},
		"NoTokenOfPool": {reason: "Nor whether there is a pool.", path: poolOfA, code: 401, lacks: []string{"coder-agent-pool"}},
		"NoTokenAtAll":  {reason: "Nor whether there is a page.", path: "/nothing", code: 401},
		"WrongToken":    {reason: "A token that the API server does not know is none.", reader: "wrong", path: "/", code: 401, lacks: append(secrets, "team-a")},
		"All":           {reason: "Who may list all pools sees them.", reader: "all", path: "/", code: 200, has: append(secrets, "coder-agent-pool", "night-reviewers", "Failed")},
		"OfA":           {reason: "Others see those of their namespaces.", reader: "a", path: "/", code: 200, has: []string{"coder-agent-pool", "night-reviewers"}, lacks: secrets},
		"Nothing":       {reason: "Who may list none sees none.", reader: "none", path: "/", code: 200, has: []string{"no pools here that you may list"}, lacks: append(secrets, "coder-agent-pool", "team-a")},
		"OneNamespace":  {reason: "A namespace of one's own.", reader: "a", path: "/namespaces/team-a", code: 200, has: []string{"coder-agent-pool"}, lacks: secrets},
		"Foreign":       {reason: "Another's is as one that there is not.", reader: "a", path: "/namespaces/team-b", code: 404, lacks: secrets},
		"NoSuch":        {reason: "One that there is not.", reader: "a", path: "/namespaces/team-c", code: 404},
		"Own": {
			reason: "A pool with all that is told of it.", reader: "a", path: poolOfA, code: 200,
			has: []string{
				"59f688ff44-6h292", "0000000001-0000000118", "Draining", "Hibernated", "4/0000000005-0000000031", "59f688ff44-b92zv", "LoadLower", "SomeUnavailable",
				"its monitor does not answer", "it waits for a slot", "coder-memory", "budget 40,000", "<svg",
			},
		},
		"PoolsOnly": {
			reason: "Workers and decisions are told to who may read pods and scalers.", reader: "a-pools", path: poolOfA, code: 200,
			has: []string{"SomeUnavailable", "the right to list <code>pods</code>", "agentscalers.agent.southwest.ai"}, lacks: []string{"59f688ff44", "0000000001-0000000118", "QueueDepth 29"},
		},
		"AllOfIt": {
			reason: "Who may read all of it is told of no right.", reader: "a", path: poolOfA, code: 200,
			has: slices.Concat(ledger, monitor, scaler), lacks: []string{"You need the right", noLedger, noMonitor, noScaler},
		},
		"PodsOnly": {
			reason: "Who may read pods alone sees what pods tell, and of what more there is which right it takes.", reader: "a-pods", path: poolOfA, code: 200,
			has:   []string{"59f688ff44-6h292", "59f688ff44-zz5qp", "Running", "it waits for a slot", noLedger, slot.LedgerName("coder-agent-pool"), noMonitor, noScaler},
			lacks: slices.Concat(ledger, monitor, scaler),
		},
		"LedgerToo": {
			reason: "The ledger tells who holds which slot, and no more.", reader: "a-slots", path: poolOfA, code: 200,
			has: slices.Concat(ledger, []string{noMonitor, noScaler}), lacks: slices.Concat(monitor, scaler, []string{noLedger}),
		},
		"MonitorsToo": {
			reason: "Monitors tell what workers do.", reader: "a-monitors", path: poolOfA, code: 200,
			has: slices.Concat(monitor, []string{noLedger, noScaler}), lacks: slices.Concat(ledger, scaler, []string{noMonitor}),
		},
		"ScalerToo": {
			reason: "The scaler tells who was removed, and not whether the slot is held again.", reader: "a-scalers", path: poolOfA, code: 200,
			has: slices.Concat(scaler, []string{noLedger, noMonitor}), lacks: slices.Concat(ledger, monitor, []string{noScaler}),
		},
		"ForeignPool": {reason: "Another's pool is as one that there is not.", reader: "a", path: poolOfB, code: 404, lacks: []string{"planner", "team-b"}},
		"NoSuchPool":  {reason: "One that there is not.", reader: "a", path: "/namespaces/team-a/pools/none", code: 404},
		"OneByName":   {reason: "A right to one pool by name.", reader: "b-one", path: poolOfB, code: 200, has: []string{"planner-pool"}},
		"NotByName":   {reason: "And to no other.", reader: "b-one", path: "/namespaces/team-b/pools/release-reviewers", code: 404, lacks: []string{"release-reviewers", "Stuck"}},
		"NoPage":      {reason: "What is no page.", reader: "all", path: "/metrics", code: 404},
		"NoName":      {reason: "What is no name.", reader: "all", path: "/namespaces/A..b/pools/x", code: 404},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			code, header, body := fetch(t, http.MethodGet, address, tc.path, tokens[tc.reader])
			if code != tc.code {
				t.Fatalf("%s\n%d, want %d:\n%s", tc.reason, code, tc.code, body)
			}

			for _, text := range tc.has {
				if !strings.Contains(body, text) {
					t.Errorf("%s\nthere is no %q in\n%s", tc.reason, text, body)
				}
			}

			for _, text := range tc.lacks {
				if strings.Contains(body, text) {
					t.Errorf("%s\nthere is %q, in\n%s", tc.reason, text, body)
				}
			}

			if !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") || header.Get("Cache-Control") != "no-store" {
				t.Errorf("the headers let a browser do more than show the page: %v", header)
			}
		})
	}

	if code, _, _ := fetch(t, http.MethodPost, address, "/", tokens["all"]); code != http.StatusMethodNotAllowed && code != http.StatusNotFound {
		t.Errorf("what would change something is answered by %d", code)
	}

	// The same answer, to the letter, where there is a pool that one may not read and where there is none.
	_, _, foreign := fetch(t, http.MethodGet, address, poolOfB, tokens["a"])
	_, _, none := fetch(t, http.MethodGet, address, "/namespaces/team-z/pools/planner-pool", tokens["a"])

	if cutTime(foreign) != cutTime(none) {
		t.Errorf("it can be told whether there is a pool:\n%s\n%s", foreign, none)
	}
}

// cutTime returns a page up to where it tells the time.
func cutTime(body string) string {
	body, _, _ = strings.Cut(body, "<footer")

	return body
}

func fetch(t *testing.T, method, address, path, token string) (int, http.Header, string) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}

	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}

	// Its certificate is its own.
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

	rsp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}

	return rsp.StatusCode, rsp.Header, string(b)
}

// testHistory: what a scaler's status tells is remembered, through the provider's own cache and rights.
func testHistory(t *testing.T, s *Server) {
	t.Helper()

	s.history.take(t.Context())

	key := types.NamespacedName{Namespace: "team-b", Name: "planner-pool"}
	if got := s.history.of(key); len(got) == 0 || got[len(got)-1].depth != 2 || got[len(got)-1].replicas != 3 {
		t.Errorf("the last of %d samples is not what the status tells: %+v", len(got), got[max(0, len(got)-1):])
	}
}
