package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
)

// ErrFound is what verify ends with where it found something: the command worked, and the state does not.
var ErrFound = errors.New("not all of it is what was written: restore from another checkpoint, and see the operations guide on corruption")

type showCmd struct {
	Repository
	format

	Checkpoint name `arg:"" help:"SLOT for its newest checkpoint, or SLOT/EPOCH-SEQUENCE."`
	Files      bool `short:"f" help:"List the files, too."`
}

// A shown checkpoint is what show prints.
type shown struct {
	CheckpointLine
	// Chunks is how many pieces it needs in the store.
	Chunks  int          `json:"chunks"`
	Entries []tree.Entry `json:"entries,omitempty"`
}

// Run shows.
func (c *showCmd) Run(ctx context.Context, out *Output) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()

	m, err := r.find(ctx, c.Checkpoint)
	if err != nil {
		return err
	}

	refs, err := r.References(ctx, m)
	if err != nil {
		return err
	}

	pins, err := r.Pins(ctx, m.Slot)
	if err != nil {
		return err
	}

	s := shown{CheckpointLine: lineOf(m.Slot, m.Position, m, nil, pins), Chunks: len(refs)}

	if c.Files {
		if err := tree.List(ctx, m.Tree, r.Get, func(e tree.Entry) error {
			s.Entries = append(s.Entries, e)

			return nil
		}); err != nil {
			return err
		}
	}

	return c.print(out.Out, s, func(w io.Writer) { s.table(w, out.Now()) })
}

func (s *shown) table(w io.Writer, now time.Time) {
	for _, l := range [][2]string{
		{"Checkpoint", s.Slot + "/" + s.Position},
		{"Saved", s.Time.Format(time.RFC3339) + " (" + ago(s.Time, now) + " ago)"},
		{"Reason", s.Reason},
		{"Drain", dash(s.Drain)},
		{"Grown from", dash(s.Parent)},
		{"Pinned", dash(s.Pinned)},
		{"Files", fmt.Sprint(s.Files)},
		{"Size", size(s.Bytes)},
		{"Added to the store", size(s.Added)},
		{"Pieces in the store", fmt.Sprint(s.Chunks)},
	} {
		fmt.Fprintf(w, "%s:\t%s\n", l[0], l[1])
	}

	if len(s.Entries) == 0 {
		return
	}

	fmt.Fprintln(w)

	for _, e := range s.Entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Mode, size(e.Size), e.ModTime.UTC().Format(time.RFC3339), e.Name)
	}
}

type verifyCmd struct {
	Repository
	format

	Checkpoints []name `arg:"" optional:"" help:"What to verify: SLOT for its newest, or SLOT/EPOCH-SEQUENCE. Without any, the newest of all slots."`
	All         bool   `help:"Verify all checkpoints of all slots."`
}

// A Verified checkpoint is what verify says of one.
type Verified struct {
	Checkpoint string `json:"checkpoint"`
	Intact     bool   `json:"intact"`
	Problem    string `json:"problem,omitempty"`
}

// Run verifies. Its error is ErrFound where something is corrupt.
func (c *verifyCmd) Run(ctx context.Context, out *Output) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()

	names, err := c.names(ctx, r)
	if err != nil {
		return err
	}

	var (
		results = make([]Verified, 0, len(names))
		bar     = newBar(out.Err, "verify", int64(len(names)), false)
		found   error
	)

	for _, n := range names {
		v := Verified{Checkpoint: string(n), Intact: true}

		m, err := r.find(ctx, n)
		if err == nil {
			v.Checkpoint = m.Slot + "/" + m.Position.String()
			err = r.Verify(ctx, m)
		}

		if err != nil && !lost(err) {
			return err
		}

		if err != nil {
			v.Intact, v.Problem, found = false, err.Error(), ErrFound
		}

		results = append(results, v)
		bar.add(1)
	}

	bar.end()

	if err := c.print(out.Out, results, func(w io.Writer) {
		fmt.Fprintln(w, "CHECKPOINT\tINTACT\tPROBLEM")

		for _, v := range results {
			fmt.Fprintf(w, "%s\t%t\t%s\n", v.Checkpoint, v.Intact, v.Problem)
		}
	}); err != nil {
		return err
	}

	return found
}

// names returns what is to be verified.
func (c *verifyCmd) names(ctx context.Context, r *opened) ([]name, error) {
	if len(c.Checkpoints) > 0 {
		return c.Checkpoints, nil
	}

	slots, err := r.Slots(ctx)
	if err != nil {
		return nil, err
	}

	var out []name

	for _, slot := range slots {
		all, err := r.Positions(ctx, slot)
		if err != nil {
			return nil, err
		}

		if !c.All && len(all) > 1 {
			all = all[:1]
		}

		for _, p := range all {
			out = append(out, name(slot+"/"+p.String()))
		}
	}

	return out, nil
}

type restoreCmd struct {
	Repository

	Checkpoint name   `arg:"" help:"SLOT for its newest checkpoint, or SLOT/EPOCH-SEQUENCE."`
	Directory  string `arg:"" type:"path" help:"Where the files go: a directory that does not exist, or is empty."`
}

// Run restores to a directory. The pool is left alone: see the annotation southwest.ai/restore-from for that.
func (c *restoreCmd) Run(ctx context.Context, out *Output) error {
	r, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()

	m, err := r.find(ctx, c.Checkpoint)
	if err != nil {
		return err
	}

	notes, err := r.restore(ctx, m, c.Directory, out)
	if err != nil {
		return err
	}

	for _, n := range notes {
		fmt.Fprintln(out.Err, "note:", n)
	}

	_, err = fmt.Fprintf(out.Out, "%s/%s is in %s: %d files, %s\n", m.Slot, m.Position, c.Directory, m.Files, size(m.Bytes))

	return err
}

// restore writes a checkpoint's files, and shows how far it is.
func (o *opened) restore(ctx context.Context, m checkpoint.Manifest, dir string, out *Output) ([]tree.Note, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: nothing in it is written over; name another directory", dir)
	}

	bar := newBar(out.Err, "restore "+m.Slot, m.Bytes, true)
	defer bar.end()

	return tree.Restore(ctx, dir, m.Tree, func(ctx context.Context, id checkpoint.ID) ([]byte, error) {
		b, err := o.Get(ctx, id)
		bar.add(int64(len(b)))

		return b, err
	}, tree.Options{Free: o.Free})
}
