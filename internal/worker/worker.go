// Package worker is the protocol by which workers are removed from a pool: which of them go, what must be safe before they do, and
// in which order a cluster is told. It must not know why a pool shrinks, nor how a cluster is talked to.
package worker

import "time"

// A Worker is a pool's pod as it was seen in one look.
type Worker struct {
	// Name and UID of the pod; Version is what a change of it is guarded by.
	Name, UID, Version string
	// Slot that it holds.
	Slot int
	// Epoch under which it holds it.
	Epoch int64
	// Created is when the pod was.
	Created time.Time
	// Drain is the id of the drain that it was told to do, empty for none, and Until when that is given up.
	Drain string
	Until time.Time
	// Refused is when it last did not drain in time; zero where it never did.
	Refused time.Time
	// Detached says that the pod has left its ReplicaSet's selector, Owned that the ReplicaSet does not know it yet.
	Detached, Owned bool
	// Terminating says that the pod is being deleted.
	Terminating bool
	// Stateful says that its state is kept in a repository: it must not go before that state is in a checkpoint.
	Stateful bool
	// Unstarted says that its agent never ran. It has no tasks, and no state but the one that it would begin with.
	Unstarted bool
	// Report is what its monitor answered, nil where it did not.
	Report *Report
}

// A Report is what a worker's monitor says.
type Report struct {
	// Ready says that it takes tasks.
	Ready bool
	// Drain is the drain that the monitor knows of, Drained whether that is over, and Late whether it was given up by the monitor
	// with tasks in flight.
	Drain   string
	Drained bool
	Late    bool
	// Saved is the drain for which the newest checkpoint was made, and SavedAt when the state was last seen to be in one.
	Saved   string
	SavedAt time.Time
	// Known says whether the load is, in tasks and sessions.
	Known              bool
	InFlight, Sessions int64
}

// drained says whether a worker has done what it was told: it is idle, takes nothing on, and its state, if it has one, is in a
// checkpoint that says so.
func (w Worker) drained() bool {
	if r := w.Report; r != nil && w.Drain != "" && r.Drain == w.Drain && r.Drained && !r.Late {
		return !w.Stateful || r.Saved == w.Drain
	}

	// Should its agent start now, it will drain from its first moment.
	return w.Unstarted && w.Drain != ""
}

// gaveUp says that a worker's monitor has ended its drain with tasks in flight: it takes nothing on, for nothing.
func (w Worker) gaveUp() bool {
	return w.Report != nil && w.Drain != "" && w.Report.Drain == w.Drain && w.Report.Late
}

// A View is one look at a pool, at what the API server knows and no cache. Its parts are read in the order of its fields: so
// whatever is changed meanwhile is found out by the versions.
type View struct {
	// Ledger is the version of the ledger of slots, and Cap the most workers that it lets have one; negative for no cap.
	Ledger string
	Cap    int
	// Claims are the UIDs of the pods that were given a slot.
	Claims []string
	// Deployment is the version of the pool's Deployment, and Replicas the size that it asks for.
	Deployment string
	Replicas   int
	// RollingOut says that its workers are being replaced by others of a newer template.
	RollingOut bool
	// Acted says that its ReplicaSet has acted on that size, and found as many pods in its cache.
	Acted bool
	// Pods is the number of pods that its ReplicaSet should count, whether or not they have a slot: those whose labels match and that are
	// neither being deleted nor over. Refused says that the ReplicaSet wanted to make more and was not let, by a quota perhaps.
	Pods    int
	Refused bool
	// Workers are those of Claims whose pods have not ended, whether or not they were told their slot yet. In a pool without slots
	// they are all whose pods run.
	Workers []Worker
	// Slotless says that the pool has no slots, and so no ledger: any worker can be replaced by any other. Its ReplicaSet removes
	// those first that drain, because they are not ready and because their pods are marked to be cheap.
	Slotless bool
}

// kept returns the workers that the pool has: those that are about to be gone do not count.
func (v View) kept() []Worker {
	var out []Worker

	for _, w := range v.Workers {
		if !w.Detached && !w.Terminating {
			out = append(out, w)
		}
	}

	return out
}

// detached returns the workers that have left the pool.
func (v View) detached() []Worker {
	var out []Worker

	for _, w := range v.Workers {
		if w.Detached {
			out = append(out, w)
		}
	}

	return out
}
