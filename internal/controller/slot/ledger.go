package slot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
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
}

// A Ledger is the durable record of who holds a pool's slots.
type Ledger struct {
	// Version of the form.
	Version int `json:"version"`
	// Epoch is the newest epoch that was handed out. It only grows.
	Epoch int64 `json:"epoch"`
	// Claims in the order of their slots. No slot and no pod appears twice.
	Claims []Claim `json:"claims"`
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

// without returns the ledger without some claims.
func (l Ledger) without(ended map[string]bool) Ledger {
	out := Ledger{Version: l.Version, Epoch: l.Epoch, Claims: make([]Claim, 0, len(l.Claims))}

	for _, c := range l.Claims {
		if !ended[c.UID] {
			out.Claims = append(out.Claims, c)
		}
	}

	return out
}

// with returns the ledger with further claims.
func (l Ledger) with(claims []Claim) Ledger {
	out := Ledger{Version: l.Version, Epoch: l.Epoch, Claims: slices.Concat(l.Claims, claims)}

	for _, c := range claims {
		out.Epoch = max(out.Epoch, c.Epoch)
	}

	slices.SortFunc(out.Claims, func(a, b Claim) int { return cmp.Compare(a.Slot, b.Slot) })

	return out
}
