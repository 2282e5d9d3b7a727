package tree

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

func TestHostileTrees(t *testing.T) {
	file := func(name string) node { return node{kind: kindFile, name: name, mode: 0o644} }
	cases := map[string]struct {
		reason string
		nodes  []node
	}{
		"Up":        {reason: "A name never leads up.", nodes: []node{file("..")}},
		"Slash":     {reason: "A name is one part of a path.", nodes: []node{file("a/b")}},
		"Absolute":  {reason: "A name is not a path.", nodes: []node{file("/etc/passwd")}},
		"Zero":      {reason: "A name has no zero byte.", nodes: []node{file("a\x00b")}},
		"Empty":     {reason: "A name is not empty.", nodes: []node{file("")}},
		"Twice":     {reason: "A name is there once.", nodes: []node{file("a"), file("a")}},
		"Unsorted":  {reason: "A tree has one form.", nodes: []node{file("b"), file("a")}},
		"Leave":     {reason: "Nothing is above the root.", nodes: []node{{kind: kindLeave}}},
		"Open":      {reason: "A directory ends.", nodes: []node{{kind: kindDir, name: "d", mode: 0o755}}},
		"Through":   {reason: "Nothing is written through a link.", nodes: []node{{kind: kindSymlink, name: "d", mode: 0o777, target: "/tmp"}, {kind: kindLink, name: "e", target: "d/x"}}},
		"LinkOut":   {reason: "A hard link is to a file of the tree.", nodes: []node{{kind: kindLink, name: "e", target: "../../../etc/passwd"}}},
		"LinkAbs":   {reason: "As above.", nodes: []node{{kind: kindLink, name: "e", target: "/etc/passwd"}}},
		"Size":      {reason: "A file is as long as its parts.", nodes: []node{{kind: kindFile, name: "a", size: 5}}},
		"Setuid":    {reason: "Nobody becomes another by a file that was restored.", nodes: []node{{kind: kindFile, name: "a", mode: 0o4755}}},
		"Attribute": {reason: "Attributes of the system's give rights.", nodes: []node{{kind: kindFile, name: "a", mode: 0o755, attrs: []attr{{name: "security.capability", value: []byte("x")}}}}},
		"WrongHash": {reason: "A file's bytes are those that were saved.", nodes: []node{{kind: kindFile, name: "a", size: 5, refs: []ref{{hole: true, length: 5}}}}},
		"WrongSum":  {reason: "So are a long file's.", nodes: []node{{kind: kindFile, name: "a", size: small + 1, sum: sum{quick: true}, refs: []ref{{hole: true, length: small + 1}}}}},
		"QuickSum":  {reason: "A small file's sum says which bytes it has.", nodes: []node{{kind: kindFile, name: "a", sum: sum{quick: true}}}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer

			e := newEncoder(&buf)
			for _, n := range tc.nodes {
				_ = e.node(n)
			}

			_ = e.close()

			h := newHeap()
			id, _ := h.put(t.Context(), buf.Bytes())

			if _, err := Restore(t.Context(), filepath.Join(t.TempDir(), "d"), []checkpoint.ID{id}, h.get, Options{}); err == nil {
				t.Errorf("%s\nthe tree was restored", tc.reason)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	dir := f.TempDir()
	write(f, dir+"/a/b", []byte("x"))
	write(f, dir+"/c", noise(200<<10, 1))

	h := newHeap()
	s, _ := save(f, dir, h, nil)

	f.Add(h.chunks[s.Tree[0]])
	f.Add([]byte("TREE\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := newDecoder(bytes.NewReader(b))
		if err != nil {
			return
		}

		var buf bytes.Buffer

		e := newEncoder(&buf)

		for {
			n, err := d.next()
			if err != nil {
				return
			}

			if n.kind == kindEnd {
				break
			}

			if err := e.node(n); err != nil {
				t.Fatal(err)
			}
		}

		if err := e.close(); err != nil {
			t.Fatal(err)
		}

		// Numbers have longer forms than the shortest, which are read and not written: so it is the second time that counts.
		again, err := newDecoder(bytes.NewReader(buf.Bytes()))
		if err != nil {
			t.Fatal(err)
		}

		for {
			n, err := again.next()
			if err != nil {
				t.Fatalf("what was written is not read: %v", err)
			}

			if n.kind == kindEnd {
				return
			}
		}
	})
}

// What a newer program wrote is not taken for broken, or an older state would be restored in its place. Of version 1 is no record of
// version 2.
func TestVersions(t *testing.T) {
	long := node{kind: kindFile, name: "a", mode: 0o644, size: small + 1, sum: sum{quick: true}, refs: []ref{{hole: true, length: small + 1}}}

	for v, want := range map[byte]error{0: ErrFormat, 1: ErrFormat, version: nil, version + 1: checkpoint.ErrVersion} {
		var buf bytes.Buffer

		e := newEncoder(&buf)
		if err := errors.Join(e.node(long), e.close()); err != nil {
			t.Fatal(err)
		}

		b := buf.Bytes()
		b[4] = v

		d, err := newDecoder(bytes.NewReader(b))
		if err == nil {
			_, err = d.next()
		}

		if !errors.Is(err, want) {
			t.Errorf("version %d: %v, want %v", v, err, want)
		}
	}
}
