package dashboard

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

//go:embed templates/*.html
var sources embed.FS

//go:embed templates/style.css
var style string

var (
	pages = template.Must(template.New("").Funcs(template.FuncMap{
		"number": number, "optional": func(n *int64) string { return number(figure(n)) }, "ago": ago, "exact": exact, "stamp": stamp,
	}).ParseFS(sources, "templates/*.html"))

	// stylesheet is the style as it stands in each page: so a page is one request, wherever a proxy puts it.
	stylesheet = template.HTML("<style>" + style + "</style>") //nolint:gosec // It is a file of ours.

	// policy lets a browser apply that style and load nothing at all.
	policy = "default-src 'none'; style-src 'sha256-" + hashOf(style) + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))

	return base64.StdEncoding.EncodeToString(sum[:])
}

// How something should strike the eye. The word beside it says the same.
const (
	toneGood = "good"
	toneBusy = "busy"
	toneWarn = "warn"
	toneBad  = "bad"
	toneIdle = "idle"
)

// refreshSeconds is how often a page loads itself anew, if its reader asks for that.
const refreshSeconds = 15

// A frame is what all pages have.
type frame struct {
	Title string
	// Root leads to the first page from this one.
	Root string
	Now  time.Time
	Who  string
	// Refresh says that the page loads itself anew.
	Refresh bool
	Seconds int
	Style   template.HTML
}

func frameOf(r *http.Request, who reader, now time.Time) frame {
	return frame{
		Root: strings.Repeat("../", strings.Count(strings.Trim(r.URL.Path, "/"), "/")), Now: now.UTC(), Who: who.Username,
		Refresh: r.URL.Query().Get("refresh") != "", Seconds: refreshSeconds, Style: stylesheet,
	}
}

// Home is the way to the first page: an empty reference would be this page.
func (f frame) Home() string { return cmp.Or(f.Root, "./") }

// A poolRow is a pool in a list.
type poolRow struct {
	claim

	Tone  string
	Load  drawn
	Last  *v1alpha1.LastScale
	Phase string
}

// An indexView is a list of pools.
type indexView struct {
	frame

	Namespace string
	Rows      []poolRow
	Totals    totals
	// Cut says that there are more pools, and Left in how many namespaces it was not looked.
	Cut  bool
	Left int
}

func (indexView) template() string { return "index.html" }

// totals are sums of what is known.
type totals struct {
	Pools, Namespaces                            int
	Failing                                      int
	Workers, Available, Active, Depth, PerMinute int64
	// Unknown is the number of pools of which a figure is.
	Unknown int
}

func (s *Server) indexView(f frame, namespace string, all []claim, cut bool, left int) indexView {
	f.Title = "Pools"
	if namespace != "" {
		f.Title = "Pools of " + namespace
	}

	v := indexView{frame: f, Namespace: namespace, Cut: cut, Left: left}
	namespaces := map[string]bool{}

	for _, c := range all {
		phase := cmp.Or(c.Status.CurrentPhase, "New")
		row := poolRow{claim: c, Phase: phase, Tone: toneOf(phase, c.Status.State), Last: c.Status.LastScale}
		row.Load = spark(f.Now, s.history.of(types.NamespacedName{Namespace: c.Metadata.Namespace, Name: c.Metadata.Name}), depthOf)
		v.Rows = append(v.Rows, row)
		namespaces[c.Metadata.Namespace] = true
		v.Totals.add(c.Status, row.Tone)
	}

	v.Totals.Pools, v.Totals.Namespaces = len(all), len(namespaces)

	// What needs somebody comes first.
	slices.SortStableFunc(v.Rows, func(a, b poolRow) int {
		return cmp.Or(cmp.Compare(urgency(a.Tone), urgency(b.Tone)), cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})

	return v
}

func (t *totals) add(st claimStatus, tone string) {
	if tone == toneBad {
		t.Failing++
	}

	whole := true

	for sum, n := range map[*int64]*int64{
		&t.Workers: st.Replicas, &t.Available: st.AvailableReplicas, &t.Active: st.ActiveWorkers, &t.Depth: st.QueueDepth, &t.PerMinute: st.TokensPerMinute,
	} {
		if n == nil {
			whole = false

			continue
		}

		*sum += *n
	}

	if !whole {
		t.Unknown++
	}
}

func urgency(tone string) int {
	if tone == toneBad {
		return 0
	}

	return 1
}

// toneOf says how a phase and state should strike the eye.
func toneOf(phase, state string) string {
	switch {
	case phase == "Failed":
		return toneBad
	case state == "Degraded":
		return toneWarn
	case phase == "Suspended":
		return toneIdle
	case phase == "Ready" || phase == "Processing":
		return toneGood
	default:
		return toneBusy
	}
}

// A conditionRow is a condition, and whether it is as it should be.
type conditionRow struct {
	Type, Status, Reason, Message, Tone string
	Since                               time.Time
}

// A loadRow is a sample in a table.
type loadRow struct {
	At                                time.Time
	Workers, Active, Depth, PerMinute int64
}

// A poolView is all that is told of a pool.
type poolView struct {
	frame

	Claim       claim
	Phase, Tone string
	Charts      []chart
	Loads       []loadRow
	// Since is when the first sample was taken, zero where there is none.
	Since      time.Time
	Conditions []conditionRow

	MayList, MaySeeWorkers bool
	// Sees is what else the reader may read of the pool, and Ledger the name of its ledger of slots.
	Sees   sees
	Ledger string

	Scaling   *v1alpha1.ScalingLoad
	Decisions []v1alpha1.ScalingDecision
	Desired   *int64
	Workers   workers
}

func (*poolView) template() string { return "pool.html" }

func (s *Server) poolView(f frame, key types.NamespacedName, c claim) *poolView {
	f.Title = key.Name
	phase := cmp.Or(c.Status.CurrentPhase, "New")
	samples := s.history.of(key)
	v := &poolView{frame: f, Claim: c, Phase: phase, Tone: toneOf(phase, c.Status.State), Loads: everyFew(samples)}

	if len(samples) > 0 {
		v.Since = samples[0].at
	}

	var budget int64
	if b := c.Spec.TokenBudget; b != nil {
		budget = b.TokensPerMinute
	}

	v.Charts = []chart{
		newChart("workers", "Workers", f.Now, samples, 0,
			series{Name: "asked for", Class: "first", get: func(p sample) int64 { return p.replicas }, step: true, area: true},
			series{Name: "at work", Class: "second", get: func(p sample) int64 { return p.active }, step: true}),
		newChart("tasks", "Unfinished tasks", f.Now, samples, 0, series{Name: "waiting and in flight", Class: "first", get: depthOf, area: true}),
		newChart("tokens", "Tokens a minute", f.Now, samples, budget,
			series{Name: "used", Class: "first", get: func(p sample) int64 { return p.perMinute }, area: true}),
	}

	if budget > 0 {
		v.Charts[2].LimitName = "budget " + number(budget)
	}

	for _, cond := range c.Status.Conditions {
		v.Conditions = append(v.Conditions, conditionRow{
			Type: string(cond.Type), Status: string(cond.Status), Reason: string(cond.Reason), Message: cond.Message,
			Tone: toneOfCondition(cond.Status, string(cond.Reason)), Since: cond.LastTransitionTime.Time,
		})
	}

	// What is not as it should be comes first.
	slices.SortStableFunc(v.Conditions, func(a, b conditionRow) int {
		return cmp.Or(cmp.Compare(boolOf(a.Tone == toneGood), boolOf(b.Tone == toneGood)), cmp.Compare(a.Type, b.Type))
	})

	return v
}

func depthOf(p sample) int64 { return p.depth }

func boolOf(b bool) int {
	if b {
		return 1
	}

	return 0
}

func toneOfCondition(status corev1.ConditionStatus, reason string) string {
	switch {
	case status == corev1.ConditionTrue:
		return toneGood
	case reason == "Suspended" || reason == "Waiting" || reason == "Creating":
		return toneBusy
	default:
		return toneWarn
	}
}

// decide takes down what a pool's scaler saw and did.
func (v *poolView) decide(at v1alpha1.AgentScalerObservation) {
	v.Scaling, v.Decisions = at.Load, at.Decisions

	if at.DesiredReplicas != nil {
		n := int64(*at.DesiredReplicas)
		v.Desired = &n
	}

	for _, d := range at.Decisions {
		if v.Now.Sub(d.Time.Time) < span {
			v.Charts[0].Marks = append(v.Charts[0].Marks, fmt.Sprintf("%.1f", x(d.Time.Time, v.Now, chartWidth)))
		}
	}
}

// everyFew returns samples five minutes apart, the newest first.
func everyFew(samples []sample) []loadRow {
	const apart = 5 * time.Minute

	var (
		out  []loadRow
		last time.Time
	)

	for _, p := range slices.Backward(samples) {
		if last.IsZero() || last.Sub(p.at) >= apart-every/2 {
			out = append(out, loadRow{p.at, p.replicas, p.active, p.depth, p.perMinute})
			last = p.at
		}
	}

	return out
}

// cutSlot parts SLOT/EPOCH-SEQUENCE.
func cutSlot(name string) (slot, position string) {
	slot, position, _ = strings.Cut(name, "/")

	return slot, position
}

// ago says how long ago a time was.
func ago(now, then time.Time) string {
	d := max(0, now.Sub(then))

	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	case d < 90*time.Minute:
		return strconv.Itoa(int(d.Minutes())) + " min ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h ago"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " days ago"
	}
}

// exact is a time for people, and stamp for programs.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// A failView says why there is nothing to see.
type failView struct {
	frame

	Words string
}

func (failView) template() string { return "fail.html" }

func (s *Server) fail(w http.ResponseWriter, r *http.Request, code int, outcome, title, words string) {
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}

	f := frameOf(r, reader{}, s.now())
	f.Title, f.Refresh = title, false
	s.render(w, code, outcome, failView{frame: f, Words: words})
}

// render writes a view. It is made whole before the first byte is sent.
func (s *Server) render(w http.ResponseWriter, code int, outcome string, v view) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, v.template(), v); err != nil {
		s.log.Info("Cannot render the page", "error", err)
		s.requests.WithLabelValues(outcomeFailed).Inc()
		http.Error(w, "the page cannot be rendered", http.StatusInternalServerError)

		return
	}

	s.requests.WithLabelValues(outcome).Inc()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // Whoever went away does not read it.
}
