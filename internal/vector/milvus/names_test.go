package milvus

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestStoreName(t *testing.T) {
	cases := map[string]struct {
		reason      string
		name, store string
	}{
		"Plain":       {"What Milvus takes stays as it is.", "coder_memory_2", "coder_memory_2"},
		"Dash":        {"The usual name of Kubernetes can be read.", "coder-memory", "coder__memory"},
		"TwoDashes":   {"What is more than one character is spelled.", "a--b", "a___dd_b"},
		"Mixed":       {"So is what could be taken for a dash.", "a_-b", "a___ud_b"},
		"Underscores": {"So is what a dash becomes.", "a__b", "a___uu_b"},
		"End":         {"A name may end with one.", "a-", "a__"},
		"Case":        {"Capitals are letters.", "Team-A_b", "Team__A_b"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := storeName(tc.name); got != tc.store {
				t.Errorf("%s\nstoreName(%q): got %q, want %q", tc.reason, tc.name, got, tc.store)
			}

			if got := givenName(tc.store); got != tc.name {
				t.Errorf("%s\ngivenName(%q): got %q, want %q", tc.reason, tc.store, got, tc.name)
			}
		})
	}
}

// TestStoreNameProperties: Milvus takes every store name, and from it the name can be told, so two never become one.
func TestStoreNameProperties(t *testing.T) {
	legal := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`)

	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z]([-_]|[A-Za-z0-9ud])*`).Filter(func(s string) bool { return len(s) <= Features.MaxName }).Draw(t, "name")

		stored := storeName(name)
		if !legal.MatchString(stored) {
			t.Fatalf("%q becomes %q, which Milvus does not take", name, stored)
		}

		if got := givenName(stored); got != name {
			t.Fatalf("%q becomes %q, which becomes %q", name, stored, got)
		}
	})
}

// TestGivenNameOfOthers: an alias that somebody else made keeps its name, and nothing panics.
func TestGivenNameOfOthers(t *testing.T) {
	for _, stored := range []string{"a___b", "a___", "___", "a____b", "a___x_b", "a___u_b"} {
		if got := givenName(stored); got != stored {
			t.Errorf("givenName(%q): got %q", stored, got)
		}
	}

	rapid.Check(t, func(t *rapid.T) {
		stored := rapid.StringMatching(`[_a-zud]{0,20}`).Draw(t, "stored")
		if got := givenName(stored); got != stored && storeName(got) != stored {
			t.Fatalf("%q becomes %q, which is another", stored, got)
		}
	})
}

func TestLoginName(t *testing.T) {
	legal := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,31}$`)

	seen := map[string]string{}

	for _, login := range []string{"team/coder", "team_coder", "team/coder2", "größe/記憶", ""} {
		got := loginName(login)
		if !legal.MatchString(got) || got != loginName(login) {
			t.Errorf("loginName(%q): %q is no name of a user, or another each time", login, got)
		}

		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are both %q", login, other, got)
		}

		seen[got] = login
	}
}

var _ vector.Namer = (*driver)(nil)
