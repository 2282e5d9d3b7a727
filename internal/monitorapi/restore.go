package monitorapi

import (
	"fmt"
	"regexp"
	"time"
)

// AnnotationRestoreFrom asks, on a claim and from there on its workers, for an earlier state: all slots as they were at a time,
// or one slot as it was in one checkpoint. Each value is followed once by each slot it concerns.
const AnnotationRestoreFrom = "southwest.ai/restore-from"

// A RestoreFrom is an earlier state: exactly one of Time and Slot is set.
type RestoreFrom struct {
	// Time of which the state is wanted: each slot's newest checkpoint that is not later.
	Time time.Time
	// Slot and Position, as EPOCH-SEQUENCE, name one checkpoint. Only that slot goes back.
	Slot     string
	Position string
}

// Not more than 9,999 slots: a pool has at most 1,000 workers.
var checkpointName = regexp.MustCompile(`^(0|[1-9][0-9]{0,3})/([0-9]{10}-[0-9]{10})$`)

// ParseRestoreFrom reads a value of AnnotationRestoreFrom: a time as of RFC 3339, or SLOT/EPOCH-SEQUENCE.
func ParseRestoreFrom(s string) (RestoreFrom, error) {
	if m := checkpointName.FindStringSubmatch(s); m != nil {
		return RestoreFrom{Slot: m[1], Position: m[2]}, nil
	}

	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return RestoreFrom{}, fmt.Errorf("%q is neither a time such as 2026-01-02T15:04:05Z nor a checkpoint such as 3/0000000007-0000000042", s)
	}

	return RestoreFrom{Time: t}, nil
}
