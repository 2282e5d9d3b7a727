package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// readers is how many documents are read at once.
const readers = 16

// A format is how a list is printed.
type format struct {
	Output string `short:"o" default:"table" enum:"table,json" help:"How to print: table or json."`
}

// print writes v as JSON, or has a table written.
func (f format) print(w io.Writer, v any, table func(io.Writer)) error {
	if f.Output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")

		return e.Encode(v)
	}

	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	table(t)

	return t.Flush()
}

// A SlotLine is what ls says of a slot, and what its JSON has.
type SlotLine struct {
	Slot string `json:"slot"`
	// Checkpoints is how many there are; Newest the latest of them.
	Checkpoints int    `json:"checkpoints"`
	Newest      string `json:"newest,omitempty"`
	// Time, Reason, Files and Bytes are the newest one's; absent if it cannot be read, which Problem says.
	Time   *time.Time `json:"time,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Files  int64      `json:"files"`
	Bytes  int64      `json:"bytes"`
	// Epoch is the highest under which the slot was claimed, and Holder by whom.
	Epoch   int64  `json:"epoch"`
	Holder  string `json:"holder,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// A CheckpointLine is what ls says of a checkpoint, and what its JSON has.
type CheckpointLine struct {
	Slot     string     `json:"slot"`
	Position string     `json:"position"`
	Time     *time.Time `json:"time,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Drain    string     `json:"drain,omitempty"`
	Files    int64      `json:"files"`
	Bytes    int64      `json:"bytes"`
	// Added is how many bytes its save added to the store.
	Added  int64  `json:"added"`
	Parent string `json:"parent,omitempty"`
	// Pinned is why it is kept whatever the retention says; empty for one that is not.
	Pinned  string `json:"pinned,omitempty"`
	Problem string `json:"problem,omitempty"`
}

type lsCmd struct {
	Repository
	format

	Slot string `arg:"" optional:"" help:"A slot. Without it, all slots are listed."`
}

// Run lists.
func (c *lsCmd) Run(ctx context.Context, out *Output) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()

	if c.Slot != "" {
		return c.checkpoints(ctx, r, out)
	}

	slots, err := r.Slots(ctx)
	if err != nil {
		return err
	}

	lines := make([]SlotLine, len(slots))
	if err := each(len(slots), func(i int) (err error) {
		lines[i], err = r.slotLine(ctx, slots[i])

		return err
	}); err != nil {
		return err
	}

	return c.print(out.Out, lines, func(w io.Writer) {
		fmt.Fprintln(w, "SLOT\tCHECKPOINTS\tNEWEST\tAGE\tREASON\tFILES\tSIZE\tEPOCH\tHOLDER\tPROBLEM")

		for _, l := range lines {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", l.Slot, l.Checkpoints, dash(l.Newest), ago(l.Time, out.Now()), dash(l.Reason), l.Files, size(l.Bytes), l.Epoch, dash(l.Holder), l.Problem)
		}
	})
}

// slotLine looks at a slot. What is corrupt is said; what cannot be reached is an error.
func (o *opened) slotLine(ctx context.Context, slot string) (SlotLine, error) {
	l := SlotLine{Slot: slot}

	all, err := o.Positions(ctx, slot)
	if err != nil {
		return l, err
	}

	e, err := o.Highest(ctx, slot)
	if err != nil && !lost(err) {
		return l, err
	}

	l.Epoch, l.Holder = e.Epoch, e.Holder

	if l.Checkpoints = len(all); l.Checkpoints == 0 {
		return l, nil
	}

	l.Newest = all[0].String()

	m, err := o.Manifest(ctx, slot, all[0])
	if lost(err) {
		l.Problem = err.Error()

		return l, nil
	}

	l.Time, l.Reason, l.Files, l.Bytes = &m.Time, m.Reason, m.Files, m.Bytes

	return l, err
}

func (c *lsCmd) checkpoints(ctx context.Context, r *opened, out *Output) error {
	all, err := r.Positions(ctx, c.Slot)
	if err != nil {
		return err
	}

	pins, err := r.Pins(ctx, c.Slot)
	if err != nil {
		return err
	}

	lines := make([]CheckpointLine, len(all))
	if err := each(len(all), func(i int) error {
		m, err := r.Manifest(ctx, c.Slot, all[i])
		if err != nil && !lost(err) {
			return err
		}

		lines[i] = lineOf(c.Slot, all[i], m, err, pins)

		return nil
	}); err != nil {
		return err
	}

	return c.print(out.Out, lines, func(w io.Writer) {
		fmt.Fprintln(w, "CHECKPOINT\tAGE\tREASON\tFILES\tSIZE\tADDED\tPINNED\tPROBLEM")

		for _, l := range lines {
			fmt.Fprintf(w, "%s/%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", l.Slot, l.Position, ago(l.Time, out.Now()), dash(l.Reason), l.Files, size(l.Bytes), size(l.Added), dash(l.Pinned), l.Problem)
		}
	})
}

func lineOf(slot string, at checkpoint.Position, m checkpoint.Manifest, err error, pins map[checkpoint.Position]string) CheckpointLine {
	l := CheckpointLine{Slot: slot, Position: at.String(), Pinned: pins[at]}

	if err != nil {
		l.Problem = err.Error()

		return l
	}

	l.Time, l.Reason, l.Drain, l.Files, l.Bytes, l.Added = &m.Time, m.Reason, m.Drain, m.Files, m.Bytes, m.Stored
	if m.Parent != nil {
		l.Parent = m.Parent.String()
	}

	return l
}

// lost says whether an error is about what lies in the store, and not about reaching it.
func lost(err error) bool {
	return errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, checkpoint.ErrNotFound)
}

// each calls do for 0 to n-1, some at a time, and returns what went wrong.
func each(n int, do func(i int) error) error {
	var (
		wg    sync.WaitGroup
		errs  = make([]error, n)
		begin = make(chan struct{}, readers)
	)

	for i := range n {
		begin <- struct{}{}

		wg.Go(func() {
			defer func() { <-begin }()

			errs[i] = do(i)
		})
	}

	wg.Wait()

	return errors.Join(errs...)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}

	return s
}

// ago says how long ago something was, in the largest two units.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}

	switch d := now.Sub(*t).Round(time.Second); {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// size says bytes in powers of 1024.
func size(n int64) string {
	const units = "KMGTPE"

	if n < 1024 {
		return fmt.Sprintf("%d", n)
	}

	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(units)-1 {
		f /= 1024
		i++
	}

	return fmt.Sprintf("%.1f%ci", f, units[i])
}
