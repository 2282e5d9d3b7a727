// Package docs reads the pages that people read, so that tests can hold them to what they say. It must not know what is right.
package docs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// A Page is one Markdown file.
type Page struct {
	// Path is the file's, from the root of the repository.
	Path     string
	Headings []Heading
	Links    []Link
	Blocks   []Block
	// Spans are the pieces of code within sentences.
	Spans []Span
	// Rows are those of tables, their heads included, and the items of lists.
	Rows []Row

	source []byte
}

// A Heading is where an anchor leads to.
type Heading struct {
	Level        int
	Text, Anchor string
}

// A Link leads somewhere: to a file, an anchor, or a URL. Pictures are links, too.
type Link struct {
	Line   int
	Target string
}

// A Block is fenced code.
type Block struct {
	Line int
	// Info is what stands behind the fence: the language, or nothing.
	Info, Text string
	// Section is the heading that it stands under.
	Section string
}

// A Span is code within a sentence or a cell.
type Span struct {
	Line int
	Text string
}

// A Row is one of a table, or an item of a list.
type Row struct {
	Line int
	// Cells of a row, none of an item.
	Cells int
	// Links are where its links lead to, sorted: another language may turn a sentence round.
	Links []string
}

// Files returns the Markdown files of the repository at root that people read, by their path from there.
func Files(root string) ([]string, error) {
	var out []string

	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "examples/*.md", "examples/*/*.md", "cluster/*.md", "cluster/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}

		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				return nil, err
			}

			out = append(out, filepath.ToSlash(rel))
		}
	}

	slices.Sort(out)

	return out, nil
}

// Read reads the page at path below root.
func Read(root, path string) (*Page, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.Clean(path)))
	if err != nil {
		return nil, fmt.Errorf("cannot read a page: %w", err)
	}

	return parse(path, b), nil
}

func parse(path string, b []byte) *Page {
	p := &Page{Path: path, source: b}
	taken := map[string]int{}

	// A walk that goes on at each node has no error.
	_ = ast.Walk(goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(b)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}

		switch n := n.(type) {
		case *ast.Heading:
			h := Heading{Level: n.Level, Text: p.text(n), Anchor: Slug(p.text(n))}
			if again := taken[h.Anchor]; again > 0 {
				taken[h.Anchor]++
				h.Anchor = fmt.Sprintf("%s-%d", h.Anchor, again)
			} else {
				taken[h.Anchor] = 1
			}

			p.Headings = append(p.Headings, h)
		case *ast.FencedCodeBlock:
			p.Blocks = append(p.Blocks, p.block(n))
		case *ast.CodeSpan:
			// A line that ends within it is a blank to its reader.
			p.Spans = append(p.Spans, Span{Line: p.line(n), Text: strings.ReplaceAll(p.text(n), "\n", " ")})
		case *ast.Link:
			p.Links = append(p.Links, Link{Line: p.line(n), Target: string(n.Destination)})
		case *ast.Image:
			p.Links = append(p.Links, Link{Line: p.line(n), Target: string(n.Destination)})
		case *ast.AutoLink:
			p.Links = append(p.Links, Link{Line: p.line(n), Target: string(n.URL(b))})
		case *extast.TableHeader, *extast.TableRow:
			p.Rows = append(p.Rows, Row{Line: p.line(n), Cells: n.ChildCount(), Links: p.targets(n)})
		case *ast.ListItem:
			p.Rows = append(p.Rows, Row{Line: p.line(n), Links: p.targets(n)})
		case *ast.HTMLBlock:
			p.html(p.line(n), n.Lines())
		case *ast.RawHTML:
			p.html(p.line(n), n.Segments)
		}

		return ast.WalkContinue, nil
	})

	return p
}

// targets returns where the links below a node lead to.
func (p *Page) targets(n ast.Node) []string {
	var out []string

	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Link:
			if entering {
				out = append(out, string(n.Destination))
			}
		case *ast.AutoLink:
			if entering {
				out = append(out, string(n.URL(p.source)))
			}
		}

		return ast.WalkContinue, nil
	})

	slices.Sort(out)

	return out
}

var attribute = regexp.MustCompile(`(?:src|srcset|href)="([^"]*)"`)

// html finds the links in what is HTML.
func (p *Page) html(line int, lines *text.Segments) {
	for _, m := range attribute.FindAllSubmatch(lines.Value(p.source), -1) {
		p.Links = append(p.Links, Link{Line: line, Target: string(m[1])})
	}
}

func (p *Page) block(n *ast.FencedCodeBlock) Block {
	b := Block{Text: string(n.Lines().Value(p.source))}
	if n.Info != nil {
		b.Info = string(n.Info.Segment.Value(p.source))
	}

	if n.Lines().Len() > 0 {
		b.Line = p.lineAt(n.Lines().At(0).Start)
	}

	if len(p.Headings) > 0 {
		b.Section = p.Headings[len(p.Headings)-1].Text
	}

	return b
}

// text returns what a reader sees of a node.
func (p *Page) text(n ast.Node) string {
	out := &strings.Builder{}

	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			out.Write(c.Segment.Value(p.source))

			if c.SoftLineBreak() {
				out.WriteByte(' ')
			}
		case *ast.String:
			out.Write(c.Value)
		default:
			out.WriteString(p.text(c))
		}
	}

	return out.String()
}

// line returns where a node stands: that of the first text in it, or of the nearest around it.
func (p *Page) line(n ast.Node) int {
	for c := n.FirstChild(); c != nil; c = c.FirstChild() {
		if t, ok := c.(*ast.Text); ok {
			return p.lineAt(t.Segment.Start)
		}
	}

	for ; n != nil; n = n.Parent() {
		if n.Type() == ast.TypeBlock && n.Lines() != nil && n.Lines().Len() > 0 {
			return p.lineAt(n.Lines().At(0).Start)
		}
	}

	return 1
}

func (p *Page) lineAt(offset int) int { return 1 + bytes.Count(p.source[:offset], []byte("\n")) }

// Slug returns the anchor that GitHub gives a heading: lower case, blanks as dashes, and no punctuation but dashes and underscores.
func Slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.TrimSpace(heading))
}
