package saver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// progressEvery is how often a restore says how far it is.
const progressEvery = 5 * time.Second

// Restore makes a worker's state ready before there is an agent. what is the value of monitorapi.AnnotationRestore. When it
// returns nil the state is there, whole and verified, it is committed under the worker's own epoch, so that nothing of an
// earlier owner comes after it, and the volume says so. It may be killed at any point and called again.
//
// A volume that was made ready for the same slot and epoch is left as it is: the worker's sandbox was made again, as after a
// reboot, and what the agent has written since is newer than any checkpoint.
func Restore(ctx context.Context, p Place, what string, log *slog.Logger) error {
	began := time.Now()

	had, err := p.readMeta()
	if err != nil {
		return err
	}

	if had != nil && had.Slot == p.Slot && had.Epoch == p.Epoch {
		log.Info("the state is as this worker left it", "slot", p.Slot, "epoch", p.Epoch)

		return nil
	}

	if err := p.clean(); err != nil {
		return err
	}

	a, err := p.read()
	if err != nil {
		return err
	}

	l, err := p.connect(ctx, a)
	if err != nil {
		return err
	}
	defer l.close()

	r := &restorer{Place: p, repo: l.repo, log: log}

	m, err := r.restore(ctx, what)
	if err != nil {
		return err
	}

	m.Repository, m.Slot, m.Epoch, m.Seconds = l.repo.Pool().ID, p.Slot, p.Epoch, time.Since(began).Seconds()
	log.Info("the state is ready", "slot", p.Slot, "epoch", p.Epoch, "from", m.From, "seconds", m.Seconds)

	return p.writeMeta(m)
}

// clean removes what an attempt that was killed has left, or another worker of a volume that should be this one's alone.
func (p Place) clean() error {
	entries, err := os.ReadDir(p.Volume)
	if err != nil {
		return fmt.Errorf("cannot read the state volume: %w", err)
	}

	for _, e := range entries {
		n := e.Name()
		if n != monitorapi.StateSubPath && n != metaName && n != startedName && !strings.HasPrefix(n, besidePrefix) && !strings.HasPrefix(n, "."+metaName) {
			continue
		}

		p.did("remove " + strings.TrimRight(n, "0123456789"))

		if err := removeAll(filepath.Join(p.Volume, n)); err != nil {
			return fmt.Errorf("cannot tidy the state volume: %w", err)
		}
	}

	return nil
}

// removeAll removes a directory, those in it that nobody may write included.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}

	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // A directory, on its way out.
		}

		return nil
	})

	return os.RemoveAll(dir)
}

type restorer struct {
	Place
	repo *checkpoint.Repository
	log  *slog.Logger
}

func (r *restorer) restore(ctx context.Context, what string) (meta, error) {
	if what == "" || what == monitorapi.RestoreNone {
		return meta{}, r.empty()
	}

	got, err := r.find(ctx, what)

	m := meta{}

	for _, bad := range got.Rejected {
		r.log.Warn("a checkpoint is not valid, and the one before is tried", "position", bad.Position.String(), "error", bad.Err.Error())

		m.Rejected = append(m.Rejected, bad.Position.String())
	}

	if errors.Is(err, checkpoint.ErrNotFound) && what == monitorapi.RestoreLatest {
		r.log.Info("the slot has no checkpoint yet, and begins with nothing", "slot", r.Slot)

		return m, r.empty()
	}

	if err != nil {
		return m, fmt.Errorf("cannot restore %s to slot %s: %w", what, r.Slot, err)
	}

	m.From = got.Manifest.Slot + "/" + got.Manifest.Position.String()

	return m, r.adopt(ctx, got.Manifest)
}

// find restores what is asked for into the state directory.
func (r *restorer) find(ctx context.Context, what string) (checkpoint.Restored, error) {
	if what == monitorapi.RestoreLatest {
		// Its own epoch's count too: an earlier attempt, or this worker before its node was started again.
		return r.repo.Restore(ctx, r.Slot, r.Epoch+1, r.bring)
	}

	slot, at, _ := strings.Cut(what, "/")

	p, err := checkpoint.ParsePosition(at)
	if err != nil {
		return checkpoint.Restored{}, fmt.Errorf("%q names no checkpoint: want SLOT/EPOCH-SEQUENCE", what)
	}

	m, err := r.repo.Manifest(ctx, slot, p)
	if err == nil {
		err = r.bring(ctx, m)
	}

	return checkpoint.Restored{Manifest: m}, err
}

// bring restores a checkpoint beside the state directory, and puts it in its place in one step.
func (r *restorer) bring(ctx context.Context, m checkpoint.Manifest) error {
	if err := r.clean(); err != nil {
		return err
	}

	r.did("make beside")

	beside, err := os.MkdirTemp(r.Volume, besidePrefix)
	if err != nil {
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	var done atomic.Int64

	stop := r.progress(m, &done)
	defer stop()

	notes, err := tree.Restore(ctx, beside, m.Tree, func(ctx context.Context, id checkpoint.ID) ([]byte, error) {
		b, err := r.repo.Get(ctx, id)
		done.Add(int64(len(b)))

		return b, err
	}, tree.Options{Free: r.repo.Free})
	if err != nil {
		return err
	}

	if len(notes) > 0 {
		r.log.Warn("not all of the state can be kept by this file system", "notes", len(notes))
	}

	if err := os.Chmod(beside, 0o770); err != nil { //nolint:gosec // The agent may write it by its group alone.
		return fmt.Errorf("cannot set permissions: %w", err)
	}

	r.did("rename")

	if err := os.Rename(beside, r.state()); err != nil {
		return fmt.Errorf("cannot put the state in its place: %w", err)
	}

	return syncDir(r.Volume)
}

// progress says now and then how far a restore is.
func (r *restorer) progress(m checkpoint.Manifest, done *atomic.Int64) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})

	go func() {
		defer close(ended)

		tick := time.NewTicker(progressEvery)
		defer tick.Stop()

		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				percent := math.Min(100, 100*float64(done.Load())/math.Max(1, float64(m.Bytes)))
				r.log.Info("restoring", "bytes", done.Load(), "of", m.Bytes, "percent", math.Round(percent))
			}
		}
	}()

	return func() {
		close(quit)
		<-ended
	}
}

// adopt commits the restored state under the worker's own epoch.
func (r *restorer) adopt(ctx context.Context, m checkpoint.Manifest) error {
	if m.Slot == r.Slot && m.Epoch == r.Epoch {
		return nil // It is there already.
	}

	s, err := r.repo.Session(ctx, r.Slot, r.Epoch)
	if err != nil {
		return fmt.Errorf("cannot take over the slot: %w", err)
	}

	if _, err := s.Adopt(ctx, m, monitorapi.SaveRestored); err != nil {
		return fmt.Errorf("cannot take over the restored state: %w", err)
	}

	return nil
}

// empty makes a state directory with nothing in it.
func (r *restorer) empty() error {
	if err := r.clean(); err != nil {
		return err
	}

	r.did("make state")

	if err := os.Mkdir(r.state(), 0o770); err != nil { //nolint:gosec // The agent may write it by its group alone.
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	return syncDir(r.Volume)
}
