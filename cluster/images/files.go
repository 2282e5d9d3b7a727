package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/cluster/images/sbom"
)

// sums is the file with the digests of a directory's files, as sha256sum -c reads it.
const sums = "SHA256SUMS"

// writeBill writes the bill of materials of a program beside the file that holds it.
func (o *options) writeBill(file, name string, b built) error {
	if b.binary == "" {
		return nil
	}
	created, err := epoch()
	if err != nil {
		return err
	}
	bill, err := sbom.Of(name, o.Version, b.binary, created)
	if err != nil {
		return err
	}
	to := strings.TrimSuffix(file, filepath.Ext(file)) + ".spdx.json"
	if err := os.WriteFile(to, bill, 0o644); err != nil { //nolint:gosec // As public as the image.
		return fmt.Errorf("cannot write a bill of materials: %w", err)
	}
	fmt.Println(to)
	return nil
}

// copyProgram copies an executable.
func copyProgram(from, to string) error {
	content, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return fmt.Errorf("cannot read a program: %w", err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil { //nolint:gosec // It is there to be run.
		return fmt.Errorf("cannot write %s: %w", to, err)
	}
	fmt.Println(to)
	return nil
}

// epoch is when things are said to be made: the beginning of time, or what SOURCE_DATE_EPOCH says, so that the same sources give the
// same bytes.
func epoch() (time.Time, error) {
	s := os.Getenv("SOURCE_DATE_EPOCH")
	if s == "" {
		return time.Unix(0, 0), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot read SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(n, 0), nil
}

// writeSums writes the digests of all files of a directory.
func writeSums(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot list what was built: %w", err)
	}
	var out bytes.Buffer
	for _, f := range files {
		if f.IsDir() || f.Name() == sums {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return fmt.Errorf("cannot read what was built: %w", err)
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(content), f.Name())
	}
	to := filepath.Join(dir, sums)
	if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil { //nolint:gosec // As public as the files.
		return fmt.Errorf("cannot write %s: %w", to, err)
	}
	fmt.Println(to)
	return nil
}
