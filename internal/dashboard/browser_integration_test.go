//go:build integration

package dashboard

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// newBrowser returns a context in which a headless Chromium runs, which says at each request who reads.
func newBrowser(t *testing.T, token string) context.Context {
	t.Helper()

	var program string

	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p

			break
		}
	}

	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no Chromium: install Debian's package chromium")
		}

		t.Skip("there is no Chromium in the PATH: the page is not looked at. Install Debian's package chromium")
	}

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.IgnoreCertErrors, chromedp.Flag("hide-scrollbars", true), chromedp.Flag("disable-component-update", true))

	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)

	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)

	ctx, cancel = context.WithTimeout(ctx, 6*time.Minute)
	t.Cleanup(cancel)

	if err := chromedp.Run(ctx, network.Enable(), network.SetExtraHTTPHeaders(network.Headers{"Authorization": "Bearer " + token})); err != nil {
		t.Fatalf("cannot start %s: %v", program, err)
	}

	return ctx
}

// A screen is what a page is shown on.
type screen struct {
	name          string
	width, height int64
	scheme        string
	phone         bool
}

func (s screen) emulate() chromedp.Action {
	return chromedp.Tasks{
		emulation.SetDeviceMetricsOverride(s.width, s.height, 1, s.phone),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}}),
	}
}

// testBrowser looks at the pages as people do: in the light and in the dark, at a desk and on a phone, with the keyboard alone, and by
// the rules that axe knows for those who hear a page.
func testBrowser(t *testing.T, address, token string) {
	t.Helper()

	ctx := newBrowser(t, token)
	pages := map[string]string{"pools": "/", "pool": poolOfA, "missing": "/namespaces/team-x"}
	screens := []screen{
		{"light", 1280, 900, "light", false}, {"dark", 1280, 900, "dark", false}, {"phone-light", 390, 844, "light", true}, {"phone-dark", 390, 844, "dark", true},
	}

	for name, path := range pages {
		for _, s := range screens {
			t.Run(name+"-"+s.name, func(t *testing.T) { looks(ctx, t, "https://"+address+path, name+"-"+s.name, s) })
		}
	}

	t.Run("Keyboard", func(t *testing.T) { byKeyboard(ctx, t, "https://"+address) })
	t.Run("Refresh", func(t *testing.T) { refreshes(ctx, t, "https://"+address+poolOfA) })
}

// looks checks a page on a screen: that nothing is cut off or overlaps, and that axe finds nothing.
func looks(ctx context.Context, t *testing.T, url, name string, s screen) {
	t.Helper()

	var (
		wide          float64
		loaded        int
		styled        string
		picture       []byte
		background    string
		withoutLabels int
	)

	if err := chromedp.Run(ctx, s.emulate(), chromedp.Navigate(url), chromedp.WaitVisible("main", chromedp.ByQuery),
		chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide),
		chromedp.Evaluate(`performance.getEntriesByType("resource").length`, &loaded),
		chromedp.Evaluate(`getComputedStyle(document.querySelector(".brand")).textDecorationLine`, &styled),
		chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &background),
		chromedp.Evaluate(`[...document.querySelectorAll("svg:not([aria-hidden=true])")].filter(s => !s.getAttribute("aria-label") && !s.querySelector("title")).length`, &withoutLabels),
		chromedp.FullScreenshot(&picture, 100)); err != nil {
		t.Fatal(err)
	}

	if wide > float64(s.width) {
		t.Errorf("the page is %.0f wide on a screen of %d", wide, s.width)
	}

	if loaded != 0 {
		t.Errorf("the page loads %d things beside itself", loaded)
	}

	if styled != "none" {
		t.Error("the page has no style: its policy does not let it")
	}

	if dark := background == "rgb(18, 19, 21)"; dark != (s.scheme == "dark") {
		t.Errorf("the page is %s where %s is wanted", background, s.scheme)
	}

	if withoutLabels > 0 {
		t.Errorf("%d pictures say nothing to who cannot see them", withoutLabels)
	}

	axe(ctx, t)

	if *update && slices.Contains(pictures, name) {
		if err := os.WriteFile(filepath.Join("..", "..", "docs", "page-"+name+".png"), smaller(t, picture), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pictures are those that docs/ has.
var pictures = []string{"pools-light", "pools-dark", "pools-phone-dark", "pool-light", "pool-dark"}

// smaller returns a picture with its 256 most frequent colours, which takes a third.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()

	from, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}

	count := map[color.Color]int{}

	for y := range from.Bounds().Dy() {
		for x := range from.Bounds().Dx() {
			count[from.At(x, y)]++
		}
	}

	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	to := image.NewPaletted(from.Bounds(), colours[:min(256, len(colours))])
	draw.Draw(to, to.Bounds(), from, image.Point{}, draw.Src)

	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, to); err != nil {
		t.Fatal(err)
	}

	return b.Bytes()
}

// axe holds the page that is shown against the rules of WCAG 2.2, level AA, and axe's best practices.
func axe(ctx context.Context, t *testing.T) {
	t.Helper()

	program, err := os.ReadFile(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "..", "npm", "axe", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("there is no axe: run `make integration`, which installs it: %v", err)
	}

	var found []struct{ ID, Help, Nodes string }

	if err := chromedp.Run(ctx, chromedp.Evaluate(string(program)+";0", nil),
		chromedp.Evaluate(`axe.run().then(r => r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html + " " + n.failureSummary).join("\n")})))`,
			&found, awaited)); err != nil {
		t.Fatal(err)
	}

	for _, f := range found {
		t.Errorf("axe: %s (%s):\n%s", f.Help, f.ID, f.Nodes)
	}
}

// awaited has what a promise comes to returned.
func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// byKeyboard goes through the first page with the tabulator alone, and into a pool.
func byKeyboard(ctx context.Context, t *testing.T, url string) {
	t.Helper()

	const where = `(() => { const e = document.activeElement, b = e.getBoundingClientRect();
		return e.textContent.trim() + "|" + (getComputedStyle(e).outlineStyle !== "none") + "|" + (b.top >= 0 && b.bottom <= innerHeight) })()`

	s := screen{"keyboard", 1280, 900, "light", false}
	if err := chromedp.Run(ctx, s.emulate(), chromedp.Navigate(url+"/"), chromedp.WaitVisible("main", chromedp.ByQuery)); err != nil {
		t.Fatal(err)
	}

	// The skip link is moved into view by a transition, so where it is, is asked only of the others.
	for _, want := range []string{"Skip to the content", "AIDispatcher", "release-reviewers", "coder-agent-pool"} {
		var at string
		if err := chromedp.Run(ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(where, &at)); err != nil {
			t.Fatal(err)
		}

		text, rest, _ := strings.Cut(at, "|")
		if text != want || !strings.HasPrefix(rest, "true") || want != "Skip to the content" && rest != "true|true" {
			t.Errorf("the keyboard is at %q, want %q, with a frame around it and in view", at, want)
		}
	}

	var title string
	if err := chromedp.Run(ctx, chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(".charts", chromedp.ByQuery), chromedp.Title(&title)); err != nil || !strings.HasPrefix(title, "coder-agent-pool") {
		t.Errorf("Enter led to %q, error %v", title, err)
	}
}

// refreshes: the page loads itself anew for who asks for that, and for nobody else.
func refreshes(ctx context.Context, t *testing.T, url string) {
	t.Helper()

	for path, want := range map[string]bool{"": false, "?refresh=on": true} {
		var has bool
		if err := chromedp.Run(ctx, chromedp.Navigate(url+path), chromedp.WaitVisible("main", chromedp.ByQuery),
			chromedp.Evaluate(`document.querySelector("meta[http-equiv=refresh]") !== null`, &has)); err != nil || has != want {
			t.Errorf("%q refreshes: %t, want %t, error %v", path, has, want, err)
		}
	}
}
