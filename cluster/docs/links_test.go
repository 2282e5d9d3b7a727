package docs

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// ours is where this repository is read by people who have not cloned it.
const ours = "https://github.com/southwest-ai/agent-operator"

// pages reads all pages.
func pages(t *testing.T) map[string]*Page {
	t.Helper()

	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]*Page{}

	for _, f := range files {
		p, err := Read(root, f)
		if err != nil {
			t.Fatal(err)
		}

		out[f] = p
	}

	// The least that a reader needs; a pattern that finds nothing would have nothing to complain of.
	for _, f := range []string{"README.md", "README.zh-CN.md", "CONTRIBUTING.md", "docs/README.md", "examples/README.md", "cluster/README.md"} {
		if out[f] == nil {
			t.Fatalf("there is no %s", f)
		}
	}

	return out
}

// Each link leads to a file that is there and a heading that is in it. Of what others have only the form is known.
func TestLinks(t *testing.T) {
	all := pages(t)

	for _, p := range all {
		for _, l := range p.Links {
			if err := follow(all, p, l.Target); err != nil {
				t.Errorf("%s:%d: %v", p.Path, l.Line, err)
			}
		}
	}
}

func follow(all map[string]*Page, from *Page, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("cannot read the link: %w", err)
	}

	file := u.Path

	switch {
	case strings.HasPrefix(target, ours+"/blob/"), strings.HasPrefix(target, ours+"/tree/"):
		// .../blob/BRANCH/FILE
		parts := strings.SplitN(strings.TrimPrefix(target, ours+"/"), "/", 3)
		if len(parts) < 3 {
			return fmt.Errorf("%s names no file", target)
		}

		file, _, _ = strings.Cut(parts[2], "#")
	case u.Scheme != "":
		if u.Scheme != "https" || !strings.Contains(u.Host, ".") {
			return fmt.Errorf("%s is no link that a reader elsewhere can follow", target)
		}

		return nil
	case file == "":
		file = from.Path
	default:
		file = path.Join(path.Dir(from.Path), file)
	}

	if strings.HasPrefix(file, "..") {
		return fmt.Errorf("%s leads out of the repository", target)
	}

	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		return fmt.Errorf("%s: there is no %s", target, file)
	}

	if u.Fragment == "" {
		return nil
	}

	p := all[file]
	if p == nil {
		return fmt.Errorf("%s: %s is no page, so it has no headings", target, file)
	}

	if !slices.ContainsFunc(p.Headings, func(h Heading) bool { return h.Anchor == u.Fragment }) {
		return fmt.Errorf("%s: %s has no such heading", target, file)
	}

	return nil
}

// The check of links finds what it is for.
func TestFollow(t *testing.T) {
	page := parse("docs/concepts.md", []byte("# A page\n## `Ready`, twice\n## Ready, twice\n## 安装 it\n"))
	all := map[string]*Page{"docs/concepts.md": page}

	cases := map[string]struct {
		reason string
		target string
		broken bool
	}{
		"Anchor":      {reason: "Punctuation has no place in an anchor.", target: "#ready-twice"},
		"Again":       {reason: "The second heading of one name is counted.", target: "#ready-twice-1"},
		"Letters":     {reason: "Letters of any script stay.", target: "#安装-it"},
		"NoAnchor":    {reason: "A heading that was renamed is found.", target: "#ready", broken: true},
		"Up":          {reason: "A file is named from where the page is.", target: "../README.md"},
		"Folder":      {reason: "A directory can be looked at, too.", target: "../examples/"},
		"Gone":        {reason: "A file that is gone is found.", target: "../gone.md", broken: true},
		"NotFromRoot": {reason: "The same from the root is another file.", target: "README.zh-CN.md", broken: true},
		"Out":         {reason: "Nothing beside the repository is there for all.", target: "../../README.md", broken: true},
		"OfNoPage":    {reason: "Only pages have headings.", target: "../Makefile#demo", broken: true},
		"Others":      {reason: "Of others only the form is known.", target: "https://docs.crossplane.io/latest"},
		"Plain":       {reason: "Plain HTTP is for nobody.", target: "http://docs.crossplane.io", broken: true},
		"OursAfar":    {reason: "Our own pages are there under their address, too.", target: ours + "/blob/main/docs/concepts.md"},
		"OursGone":    {reason: "And if one is gone, that is found.", target: ours + "/blob/main/docs/gone.md", broken: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := follow(all, page, tc.target); (err != nil) != tc.broken {
				t.Errorf("%s\nfollow(%q): want broken %t, got %v", tc.reason, tc.target, tc.broken, err)
			}
		})
	}
}

// A page is read as its readers see it.
func TestParse(t *testing.T) {
	p := parse("a.md", []byte("# One\n\nA [link](b.md#x), `code` and <img src=\"c.png\">.\n\n| a |\n| --- |\n| [two](d.md) |\n\n- item\n\n  ```yaml\n  a: 1\n  ```\n"))
	p.source = nil

	want := &Page{
		Path: "a.md", Headings: []Heading{{Level: 1, Text: "One", Anchor: "one"}},
		Links:  []Link{{Line: 3, Target: "b.md#x"}, {Line: 3, Target: "c.png"}, {Line: 7, Target: "d.md"}},
		Spans:  []Span{{Line: 3, Text: "code"}},
		Rows:   []Row{{Line: 5, Cells: 1}, {Line: 7, Cells: 1, Links: []string{"d.md"}}, {Line: 9}},
		Blocks: []Block{{Line: 12, Info: "yaml", Text: "a: 1\n", Section: "One"}},
	}
	if diff := cmp.Diff(want, p, cmp.AllowUnexported(Page{})); diff != "" {
		t.Errorf("parse(...): -want, +got:\n%s", diff)
	}
}

// Each page can be found from the first one.
func TestPagesAreReached(t *testing.T) {
	all := pages(t)
	seen := map[string]bool{}

	for next := []string{"README.md"}; len(next) > 0; next = next[1:] {
		p := all[next[0]]
		if p == nil || seen[p.Path] {
			continue
		}

		seen[p.Path] = true

		for _, l := range p.Links {
			file, _, _ := strings.Cut(l.Target, "#")
			next = append(next, path.Join(path.Dir(p.Path), file))
		}
	}

	for name := range all {
		if !seen[name] {
			t.Errorf("no link leads to %s", name)
		}
	}
}
