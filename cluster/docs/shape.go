package docs

import (
	"regexp"
	"strings"
)

var (
	// What differs from run to run: how a pod's name ends, and times.
	podName = regexp.MustCompile(`-[0-9a-f]{8,10}-[0-9a-z]{5}\b`)
	age     = regexp.MustCompile(`\b((\d+(d|h|m|s|ms)){1,2}|\d+ ms)\b`)
	blanks  = regexp.MustCompile(`[ \t]+`)
)

// Shape returns what has the form of what a page shows: the same words and numbers in the same lines, but for how many blanks are
// between them, times, how the names of pods end, and whatever a page leaves out by three dots.
func Shape(prints string) *regexp.Regexp {
	out := &strings.Builder{}
	out.WriteString(`(?s)^`)

	for _, line := range strings.Split(strings.TrimRight(prints, "\n"), "\n") {
		if strings.TrimSpace(line) == "..." {
			out.WriteString(`(.*\n)?`)

			continue
		}

		s := regexp.QuoteMeta(strings.TrimRight(line, " "))
		s = podName.ReplaceAllString(s, `-[0-9a-z]{5,10}-[0-9a-z]{5}`)
		s = age.ReplaceAllString(s, `((\d+(d|h|m|s|ms)){1,2}|\d+ ms)`)
		s = blanks.ReplaceAllString(s, `[ \t]+`)
		s = strings.ReplaceAll(s, `\.\.\.`, `[^\n]*`)

		out.WriteString(s + `[ \t]*\n`)
	}

	return regexp.MustCompile(out.String() + `$`)
}
