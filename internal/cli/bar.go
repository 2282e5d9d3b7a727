package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A bar shows how far a long command is, where a person watches.
type bar struct {
	bar *progressbar.ProgressBar
}

// newBar returns a bar on a terminal, and one that shows nothing elsewhere: in a log it would be noise.
func newBar(w io.Writer, what string, total int64, bytes bool) *bar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &bar{}
	}

	return &bar{progressbar.NewOptions64(max(total, 1),
		progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(bytes), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())}
}

func (b *bar) add(n int64) {
	if b.bar != nil {
		_ = b.bar.Add64(n) // It only shows.
	}
}

func (b *bar) end() {
	if b.bar != nil {
		_ = b.bar.Finish() // As above.
	}
}
