package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
)

type pinCmd struct {
	Repository

	Checkpoint name   `arg:"" help:"SLOT/EPOCH-SEQUENCE, or SLOT for its newest."`
	Why        string `required:"" help:"Why it is to be kept, for whoever finds it later."`
}

// Run pins.
func (c *pinCmd) Run(ctx context.Context, out *Output) error {
	return change(ctx, &c.Repository, c.Checkpoint, func(r *opened, m checkpoint.Manifest) error {
		if err := r.Pin(ctx, m.Slot, m.Position, c.Why); err != nil {
			return err
		}

		_, err := fmt.Fprintf(out.Out, "%s/%s is pinned\n", m.Slot, m.Position)

		return err
	})
}

type unpinCmd struct {
	Repository

	Checkpoint name `arg:"" help:"SLOT/EPOCH-SEQUENCE."`
}

// Run unpins.
func (c *unpinCmd) Run(ctx context.Context, out *Output) error {
	return change(ctx, &c.Repository, c.Checkpoint, func(r *opened, m checkpoint.Manifest) error {
		if err := r.Unpin(ctx, m.Slot, m.Position); err != nil {
			return err
		}

		_, err := fmt.Fprintf(out.Out, "%s/%s is not pinned any more\n", m.Slot, m.Position)

		return err
	})
}

type rmCmd struct {
	Repository

	Checkpoint name `arg:"" help:"SLOT/EPOCH-SEQUENCE."`
	Force      bool `help:"Remove it although it is the newest of its slot: a worker would then begin with the one before, or with nothing. Only while nobody writes the slot: suspend the pool first."`
}

// Run removes.
func (c *rmCmd) Run(ctx context.Context, out *Output) error {
	if _, at, err := c.Checkpoint.split(); err != nil || at == nil {
		return errors.Join(err, errors.New("name one checkpoint to remove: SLOT/EPOCH-SEQUENCE, as ls prints them"))
	}

	return change(ctx, &c.Repository, c.Checkpoint, func(r *opened, m checkpoint.Manifest) error {
		err := r.Remove(ctx, m.Slot, m.Position, c.Force)
		if errors.Is(err, checkpoint.ErrInvalid) && !c.Force {
			return fmt.Errorf("%s/%s is the newest checkpoint of its slot, which a worker would begin with: suspend the pool and say --force to remove it all the same", m.Slot, m.Position)
		}

		if err != nil {
			return err
		}

		_, err = fmt.Fprintf(out.Out, "%s/%s is removed; what no other checkpoint needs goes with the next sweep\n", m.Slot, m.Position)

		return err
	})
}

func change(ctx context.Context, where *Repository, n name, do func(*opened, checkpoint.Manifest) error) error {
	r, err := where.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()

	m, err := r.find(ctx, n)
	if err != nil {
		return err
	}

	return do(r, m)
}

type keyCmd struct {
	Repository
}

// Run prints the data key. It is the one command that prints a secret, because that is what it is for.
func (c *keyCmd) Run(ctx context.Context, out *Output) error {
	if count(c.Identity, c.KMS) != 1 {
		return errors.New("the data key is opened with an age identity or a KMS key: give one with --identity or --kms")
	}

	b, err := c.bucket(ctx)
	if err != nil {
		return err
	}
	defer b.Close() // It is only read.

	key, err := c.unwrap(ctx, b)
	if err != nil {
		return c.explain(err)
	}

	_, err = fmt.Fprintln(out.Out, hex.EncodeToString(key[:]))

	return err
}

type copyCmd struct {
	Repository

	To Repository `embed:"" prefix:"to-" envprefix:"TO_"`

	Slots   []string `placeholder:"SLOT" help:"The slots to copy. Without any, all of them."`
	Scratch string   `type:"existingdir" placeholder:"DIR" help:"Where each state is put on its way: it is encrypted for another pool. The system's temporary directory where it is empty."`
}

// copyHolder is what a copied slot is claimed as, until a worker claims it.
const copyHolder = "aidispatch checkpoint copy"

// Run copies the newest valid state of each slot. The other repository must be there, as its Checkpoint makes it; its pool
// should be suspended meanwhile, since a worker that holds a slot is fenced by the copy.
func (c *copyCmd) Run(ctx context.Context, out *Output) error {
	from, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer from.close()

	to, err := c.To.open(ctx)
	if err != nil {
		return fmt.Errorf("the pool to copy to: %w", err)
	}
	defer to.close()

	if from.Pool().ID == to.Pool().ID {
		return errors.New("both are the same repository: name another one with --to-store and --to-pool")
	}

	slots := c.Slots
	if len(slots) == 0 {
		if slots, err = from.Slots(ctx); err != nil {
			return err
		}
	}

	for _, slot := range slots {
		m, at, err := c.slot(ctx, from, to, slot, out)
		if err != nil {
			return fmt.Errorf("cannot copy slot %s: %w", slot, err)
		}

		if _, err := fmt.Fprintf(out.Out, "%s/%s is %s/%s there\n", slot, m, slot, at); err != nil {
			return err
		}
	}

	return nil
}

// slot copies one slot, and returns where its state came from and where it is.
func (c *copyCmd) slot(ctx context.Context, from, to *opened, slot string, out *Output) (was, is checkpoint.Position, err error) {
	dir, err := os.MkdirTemp(c.Scratch, "aidispatch-copy-")
	if err != nil {
		return was, is, err
	}

	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	var at string

	restored, err := from.Restore(ctx, slot, maxEpoch, func(ctx context.Context, m checkpoint.Manifest) error {
		// What an earlier attempt left is of a checkpoint that was not valid.
		at = filepath.Join(dir, m.String())

		_, err := from.restore(ctx, m, at, out)

		return err
	})
	if err != nil {
		return was, is, err
	}

	e, err := to.Claim(ctx, slot, copyHolder)
	if err != nil {
		return was, is, err
	}

	s, err := to.Session(ctx, slot, e.Epoch)
	if err != nil {
		return was, is, err
	}

	began := time.Now()

	saved, _, err := tree.Save(ctx, at, s.Put, nil, tree.Options{Chunker: to.Pool().Chunker})
	if err != nil {
		return was, is, err
	}

	m, err := s.Commit(ctx, checkpoint.Save{Reason: "Copied", Files: saved.Files, Bytes: saved.Bytes, Tree: saved.Tree, Chunks: saved.Chunks})
	if err == nil {
		fmt.Fprintf(out.Err, "saved slot %s in %s\n", slot, time.Since(began).Round(time.Millisecond))
	}

	return restored.Manifest.Position, m.Position, err
}

// maxEpoch is above all epochs.
const maxEpoch = 1 << 40
