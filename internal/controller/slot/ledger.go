package slot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// ledgerVersion is the version of a ledger's form. A provider that meets a newer one stops rather than guess.
const ledgerVersion = 1

// A Claim is a worker's hold on a slot. It is made once and never changed: it ends when the pod is gone for good.
type Claim struct {
	// Slot is the slot's number, from 0.
	Slot int `json:"slot"`
	// Epoch is the fencing epoch under which it is held, from 1.
	Epoch int64 `json:"epoch"`
	// Pod and UID say who holds it.
	Pod string `json:"pod"`
	UID string `json:"uid"`
	// Restore is what the worker begins with, as its annotation says; empty for what it was before there was a choice, none.
	Restore string `json:"restore,omitempty"`
}

// An Earlier is a slot's answer to the wish for an earlier state.
type Earlier struct {
	Slot int `json:"slot"`
	// Wish is the annotation's value, and Epoch the claim by which it was followed.
	Wish  string `json:"wish"`
	Epoch int64  `json:"epoch"`
}

// A Ledger is the durable record of who holds a pool's slots.
type Ledger struct {
	// Version of the form.
	Version int `json:"version"`
	// Epoch is the newest epoch that was handed out. It only grows.
	Epoch int64 `json:"epoch"`
	// Claims in the order of their slots. No slot and no pod appears twice.
	Claims []Claim `json:"claims"`
	// Kept are the slots that were seen to have a state in the store, in order. One of them without a state has lost it.
	Kept []int `json:"kept,omitempty"`
	// Earlier states that were asked for and given, one a slot at most, in order.
	Earlier []Earlier `json:"earlier,omitempty"`
	// Cap is the most claims there may be, beside the size that the Deployment asks for; absent for no cap. Who shrinks a pool sets it
	// before the size: so a binder that is late gives no slot to a worker that the ReplicaSet is about to remove.
	Cap *int `json:"cap,omitempty"`
}

// parseLedger returns the ledger that encode wrote.
func parseLedger(b []byte) (Ledger, error) {
	l := Ledger{}
	if err := json.Unmarshal(b, &l); err != nil {
		return Ledger{}, fmt.Errorf("cannot parse the ledger of slots: %w", err)
	}

	if l.Version != ledgerVersion {
		return Ledger{}, fmt.Errorf("cannot read version %d of the ledger of slots, only %d: run the provider that wrote it", l.Version, ledgerVersion)
	}

	slots, pods := map[int]bool{}, map[string]bool{}

	for _, c := range l.Claims {
		if c.Slot < 0 || c.Epoch < 1 || c.Epoch > l.Epoch || c.UID == "" || slots[c.Slot] || pods[c.UID] {
			return Ledger{}, fmt.Errorf("cannot use the ledger of slots: the claim of pod %q on slot %d contradicts it", c.Pod, c.Slot)
		}

		slots[c.Slot], pods[c.UID] = true, true
	}

	return l, nil
}

func (l Ledger) encode() ([]byte, error) {
	l.Version = ledgerVersion
	if l.Claims == nil {
		l.Claims = []Claim{}
	}

	return json.Marshal(l)
}

// claimOf returns the claim of a pod.
func (l Ledger) claimOf(uid string) (Claim, bool) {
	i := slices.IndexFunc(l.Claims, func(c Claim) bool { return c.UID == uid })
	if i < 0 {
		return Claim{}, false
	}

	return l.Claims[i], true
}

// serves says whether each of some pods has a claim.
func (l Ledger) serves(pods []Pod) bool {
	return !slices.ContainsFunc(pods, func(p Pod) bool {
		_, ok := l.claimOf(p.UID)

		return !ok
	})
}

// without returns the ledger without some claims.
func (l Ledger) without(ended map[string]bool) Ledger {
	out := Ledger{Version: l.Version, Epoch: l.Epoch, Claims: make([]Claim, 0, len(l.Claims)), Kept: l.Kept, Earlier: l.Earlier, Cap: l.Cap}

	for _, c := range l.Claims {
		if !ended[c.UID] {
			out.Claims = append(out.Claims, c)
		}
	}

	return out
}

// with returns the ledger with further claims.
func (l Ledger) with(claims []Claim) Ledger {
	out := Ledger{Version: l.Version, Epoch: l.Epoch, Claims: slices.Concat(l.Claims, claims), Kept: l.Kept, Earlier: l.Earlier, Cap: l.Cap}

	for _, c := range claims {
		out.Epoch = max(out.Epoch, c.Epoch)
	}

	slices.SortFunc(out.Claims, func(a, b Claim) int { return cmp.Compare(a.Slot, b.Slot) })

	return out
}

// keeping returns the ledger that remembers which slots have a state.
func (l Ledger) keeping(slots []int) Ledger {
	l.Kept = slices.Compact(slices.Sorted(slices.Values(slices.Concat(l.Kept, slots))))

	return l
}

// followed says whether a slot was given the earlier state that is wished for, and has been saved since: what was given to a
// worker that died before it had saved is given again.
func (l Ledger) followed(slot int, wish string, savedUnder int64) bool {
	return slices.ContainsFunc(l.Earlier, func(e Earlier) bool { return e.Slot == slot && e.Wish == wish && savedUnder >= e.Epoch })
}

// following returns the ledger that remembers that a claim follows a wish.
func (l Ledger) following(c Claim, wish string) Ledger {
	l.Earlier = slices.DeleteFunc(slices.Clone(l.Earlier), func(e Earlier) bool { return e.Slot == c.Slot })
	l.Earlier = append(l.Earlier, Earlier{Slot: c.Slot, Wish: wish, Epoch: c.Epoch})
	slices.SortFunc(l.Earlier, func(a, b Earlier) int { return cmp.Compare(a.Slot, b.Slot) })

	return l
}

// restore is what a claim's worker is told to begin with.
func (c Claim) restore() string { return cmp.Or(c.Restore, monitorapi.RestoreNone) }
