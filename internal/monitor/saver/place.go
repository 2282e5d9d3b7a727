// Package saver keeps a worker's state: it brings it back before there is an agent, saves it while there is one, and once more
// when there is none any more. It must not know Kubernetes, nor what the agent does.
package saver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A Place is where a worker's state and its checkpoints are.
type Place struct {
	// Volume is where the state volume is mounted, and Dir where the pool's checkpoint Secret is.
	Volume, Dir string
	// Slot and Epoch are what the worker holds.
	Slot  string
	Epoch int64

	// open opens the bucket; store.Open where it is nil.
	open func(context.Context, store.Config) (*blob.Bucket, error)
	// step is called before each change of the volume, where a test wants to know.
	step func(what string)
	// options of the repository, where a test wants others.
	options checkpoint.Options
}

func (p Place) state() string { return filepath.Join(p.Volume, monitorapi.StateSubPath) }

func (p Place) did(what string) {
	if p.step != nil {
		p.step(what)
	}
}

// maxFile bounds the files of the Secret, in bytes.
const maxFile = 256 << 10

// A access is what the Secret has. It is never printed.
type access struct {
	config store.Config
	key    checkpoint.DataKey
}

// read reads the Secret's files.
func (p Place) read() (access, error) {
	files := map[string][]byte{}

	for _, name := range []string{monitorapi.CheckpointURL, monitorapi.CheckpointPrefix, monitorapi.CheckpointKey, monitorapi.CheckpointCredentials, monitorapi.CheckpointCA} {
		b, err := readFile(filepath.Join(p.Dir, name))
		if err != nil {
			return access{}, fmt.Errorf("cannot read %s of the checkpoint's Secret: %w", name, err)
		}

		files[name] = b
	}

	a := access{config: store.Config{
		URL: strings.TrimSpace(string(files[monitorapi.CheckpointURL])), Prefix: strings.TrimSpace(string(files[monitorapi.CheckpointPrefix])),
		Credentials: files[monitorapi.CheckpointCredentials], CA: files[monitorapi.CheckpointCA],
	}}

	key, err := hex.DecodeString(strings.TrimSpace(string(files[monitorapi.CheckpointKey])))
	if err != nil || len(key) != len(a.key) {
		return access{}, fmt.Errorf("the %s of the checkpoint's Secret must be %d hexadecimal digits", monitorapi.CheckpointKey, 2*len(a.key))
	}

	copy(a.key[:], key)

	if a.config.URL == "" {
		return access{}, errors.New("the checkpoint's Secret names no store")
	}

	return a, nil
}

// readFile reads a file that may not be there. Its errors do not tell what is in it.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}

	if err != nil {
		return nil, err
	}
	defer f.Close() // It was only read.

	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("it is too long")
	}

	return b, err
}

// fingerprint is equal for equal contents of the Secret.
func (a access) fingerprint() [sha256.Size]byte {
	b, err := json.Marshal([]any{a.config, a.key[:]})
	if err != nil {
		panic(err) // Text and bytes.
	}

	return sha256.Sum256(b)
}

// A link is an open repository.
type link struct {
	repo   *checkpoint.Repository
	bucket *blob.Bucket
	print  [sha256.Size]byte
}

func (l *link) close() {
	if l != nil {
		_ = l.bucket.Close() // What was written was acknowledged.
	}
}

// connect opens the repository.
func (p Place) connect(ctx context.Context, a access) (*link, error) {
	open := p.open
	if open == nil {
		open = store.Open
	}

	b, err := open(ctx, a.config)
	if err != nil {
		return nil, fmt.Errorf("cannot open the checkpoint store: %w", err)
	}

	repo, err := checkpoint.Open(ctx, b, a.key, p.options)
	if err != nil {
		_ = b.Close() // The first error is the one to tell.

		return nil, fmt.Errorf("cannot open the checkpoint repository: %w", err)
	}

	return &link{repo: repo, bucket: b, print: a.fingerprint()}, nil
}

// A meta says what the state volume holds. It is written last, so that a volume without it is one that was not made ready.
type meta struct {
	Version    int    `json:"version"`
	Repository string `json:"repository"`
	Slot       string `json:"slot"`
	Epoch      int64  `json:"epoch"`
	// From is the checkpoint that was restored, as SLOT/EPOCH-SEQUENCE; empty where there was none.
	From string `json:"from,omitempty"`
	// Rejected are later ones that were not valid.
	Rejected []string `json:"rejected,omitempty"`
	// Seconds is how long the restore took.
	Seconds float64 `json:"seconds"`
}

const (
	metaVersion = 1
	metaName    = "meta.json"
	// startedName is there once a monitor has run, and so an agent may have.
	startedName = "started"
	// besidePrefix begins the names of directories that are being restored.
	besidePrefix = "restoring-"
)

// readMeta returns what the volume holds, nil where it was not made ready.
func (p Place) readMeta() (*meta, error) {
	b, err := readFile(filepath.Join(p.Volume, metaName))
	if err != nil {
		return nil, fmt.Errorf("cannot read what the state volume holds: %w", err)
	}

	m := &meta{}
	if b == nil || json.Unmarshal(b, m) != nil || m.Version != metaVersion {
		return nil, nil //nolint:nilnil,nilerr // Nothing that this version has made ready.
	}

	return m, nil
}

// writeMeta says what the volume holds, wholly or not at all.
func (p Place) writeMeta(m meta) error {
	m.Version = metaVersion

	b, err := json.Marshal(m)
	if err != nil {
		return err
	}

	p.did("write meta")

	return writeFile(p.Volume, metaName, b)
}

// writeFile writes a file of a directory so that a crash leaves the one before or this one.
func writeFile(dir, name string, b []byte) (err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // The first error is the one to tell.
		}
	}()

	if _, err := f.Write(b); err != nil {
		_ = f.Close() // As above.

		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("cannot write to the state volume: %w", err)
	}

	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync the state volume: %w", err)
	}
	defer f.Close() // It was only read.

	if err := f.Sync(); err != nil {
		return fmt.Errorf("cannot sync the state volume: %w", err)
	}

	return nil
}

// touch notes, before there is an agent, that there may be one from now on, and returns when that was first noted on this volume.
func touch(volume string) (time.Time, error) {
	name := filepath.Join(volume, startedName)

	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeFile(volume, startedName, []byte("an agent may have written here since\n")); err != nil {
			return time.Time{}, err
		}

		info, err = os.Stat(name)
	}

	if err != nil {
		return time.Time{}, fmt.Errorf("cannot look at the state volume: %w", err)
	}

	return info.ModTime(), nil
}
