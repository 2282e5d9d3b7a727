// Package progress tells a person what a long-running program does and for how long; it does none of it.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// How often an unfinished step is reported: a terminal's line is repainted, a log gets a new line.
const (
	repaint = 200 * time.Millisecond
	newLine = 15 * time.Second
)

// A Printer prints steps with the time since its start and the time each took.
type Printer struct {
	w     io.Writer
	tty   bool
	start time.Time
}

// New returns a Printer to a file, which it treats as a terminal if it is one.
func New(f *os.File) *Printer {
	info, err := f.Stat()
	return &Printer{w: f, tty: err == nil && info.Mode()&os.ModeCharDevice != 0, start: time.Now()}
}

// Elapsed is the time since the Printer was made.
func (p *Printer) Elapsed() time.Duration { return time.Since(p.start) }

// Say prints one line.
func (p *Printer) Say(format string, args ...any) {
	fmt.Fprintf(p.w, "%7s  %s\n", seconds(p.Elapsed()), fmt.Sprintf(format, args...))
}

// A Detail tells where a step is. It may be called from any goroutine.
type Detail func(format string, args ...any)

// Step runs do, showing its name, its latest detail and how long it takes.
func (p *Printer) Step(name string, do func(Detail) error) error {
	var (
		mu     sync.Mutex
		detail string
		began  = time.Now()
		done   = make(chan struct{})
		ended  = make(chan struct{})
	)
	line := func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%7s  %-34s %7s  %s", seconds(p.Elapsed()), name, seconds(time.Since(began)), detail)
	}
	go func() {
		defer close(ended)
		p.tick(line, done)
	}()
	err := do(func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		detail = fmt.Sprintf(format, args...)
	})
	close(done)
	<-ended
	if err != nil {
		detail = "failed"
	}
	if p.tty {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintln(p.w, line())
	return err
}

func (p *Printer) tick(line func() string, done <-chan struct{}) {
	every := newLine
	if p.tty {
		every = repaint
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			if p.tty {
				fmt.Fprintf(p.w, "\r\x1b[K%s", line())
				continue
			}
			fmt.Fprintf(p.w, "%s ...\n", line())
		}
	}
}

func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
