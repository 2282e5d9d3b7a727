package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A turn is what was said once in a conversation, and in which task.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Task    string `json:"task,omitempty"`
}

// A store keeps tasks and sessions as files, one each, so that a copy of the directory is a copy of the agent's mind. A
// file is whole or not there: it is written beside, synced and renamed.
type store struct {
	dir string
}

func openStore(dir string) (*store, error) {
	for _, d := range []string{"tasks", "sessions"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("cannot use the state directory: %w", err)
		}

		// What an agent was writing when it was killed.
		left, _ := filepath.Glob(filepath.Join(dir, d, ".new-*"))
		for _, f := range left {
			if err := os.Remove(f); err != nil {
				return nil, fmt.Errorf("cannot tidy the state directory: %w", err)
			}
		}
	}

	return &store{dir: dir}, nil
}

// tasks returns all tasks that are kept.
func (s *store) tasks() ([]task, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "tasks", "*.json"))
	if err != nil {
		return nil, err
	}

	out := make([]task, 0, len(files))

	for _, f := range files {
		var t task
		if err := read(f, &t); err != nil {
			return nil, err
		}

		out = append(out, t)
	}

	return out, nil
}

func (s *store) saveTask(t task) error {
	return write(filepath.Join(s.dir, "tasks", fileName(t.ID)), t)
}

func (s *store) deleteTask(id string) error {
	return os.Remove(filepath.Join(s.dir, "tasks", fileName(id)))
}

// session returns what was said in a conversation; nothing in one that is new.
func (s *store) session(id string) ([]turn, error) {
	var turns []turn
	if err := read(filepath.Join(s.dir, "sessions", fileName(id)), &turns); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	return turns, nil
}

func (s *store) saveSession(id string, turns []turn) error {
	return write(filepath.Join(s.dir, "sessions", fileName(id)), turns)
}

// sessions returns how many conversations are kept.
func (s *store) sessions() int {
	files, _ := filepath.Glob(filepath.Join(s.dir, "sessions", "*.json"))

	return len(files)
}

// fileName returns a file's name for an id that a client chose: nothing in it can lead elsewhere.
func fileName(id string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}

		return -1
	}, id)
	if safe == id && id != "" && len(id) <= 128 {
		return id + ".json"
	}

	sum := sha256.Sum256([]byte(id))

	// An id that is used as it is has no dot, so it cannot be taken for another's digest.
	return "sha256." + hex.EncodeToString(sum[:]) + ".json"
}

func read(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}

	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("cannot read %s: %w", file, err)
	}

	return nil
}

func write(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}

	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return fmt.Errorf("cannot save: %w", err)
	}

	defer os.Remove(f.Name()) // Gone after the rename; else a left-over that harms nobody.

	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cannot save: %w", err)
	}

	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("cannot save: %w", err)
	}

	return syncDir(filepath.Dir(file))
}

// syncDir makes a rename last through a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot save: %w", err)
	}

	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("cannot save: %w", err)
	}

	return nil
}
