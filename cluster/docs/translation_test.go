package docs

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var comment = regexp.MustCompile(`(?m) +# .*$`)

// outline is what two languages of a page must have in common: how it is divided, and what is typed.
type outline struct {
	Levels []int
	// Blocks are code. What stands in a comment may be translated, so they are compared without.
	Blocks []Block
	// Rows of tables and items of lists lead to the same pages, in the same order.
	Rows []Row
}

func outlineOf(t *testing.T, p *Page) outline {
	t.Helper()

	var o outline

	for _, h := range p.Headings {
		o.Levels = append(o.Levels, h.Level)
	}

	for _, r := range p.Rows {
		r.Line = 0
		o.Rows = append(o.Rows, r)
	}

	for _, b := range p.Blocks {
		// Where it stands, and under which words, may differ.
		b.Line, b.Section = 0, ""

		switch b.Info {
		case shell, yamls:
			b.Text = comment.ReplaceAllString(b.Text, "")
		case diagram:
			// Its words are translated; that it parses is for the eye.
			b.Text = ""
		}

		o.Blocks = append(o.Blocks, b)
	}

	return o
}

// The Chinese README says what the English one does: the same chapters, the same commands, and tables and lists that lead to the same pages.
func TestReadmesAreEqual(t *testing.T) {
	all := pages(t)
	english, chinese := outlineOf(t, all["README.md"]), outlineOf(t, all["README.zh-CN.md"])

	if diff := cmp.Diff(english, chinese); diff != "" {
		t.Errorf("README.md and README.zh-CN.md differ; change both.\n-English, +Chinese:\n%s", diff)
	}

	if len(english.Levels) < 5 || len(english.Blocks) < 4 || len(english.Rows) < 30 {
		t.Errorf("too little was compared: %+v", english)
	}
}
