package saver

import (
	"testing"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Who asks for a save gets one at once, and is answered when what there was then is in a checkpoint: each request once, and one that
// finds nothing new without another checkpoint.
func TestAsked(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, _ := start(t, Config{Place: p})
	put(t, p, "session", "one")
	s.Save("before the upgrade")
	eventually(t, "the request is answered", func() bool { return s.Status().Asked == "before the upgrade" })

	if st := s.Status(); st.Reason != monitorapi.SaveAsked || st.Position != "0000000001-0000000001" {
		t.Errorf("what was asked for: %+v", st)
	}

	// The annotation stays where it is, and is read again and again.
	put(t, p, "session", "two")
	s.Save("before the upgrade")
	s.Save("and again")
	eventually(t, "the second request is answered", func() bool { return s.Status().Asked == "and again" })
	s.Save("nothing new")
	eventually(t, "the third request is answered", func() bool { return s.Status().Asked == "nothing new" })

	if st := s.Status(); st.Position != "0000000001-0000000002" || st.CurrentAt == nil {
		t.Errorf("two of three requests found something new: %+v", st)
	}
}
