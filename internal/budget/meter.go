package budget

import "time"

const (
	// window is the time over which a worker's use is averaged, and that for which it keeps what it has after it had to wait.
	// Answers take seconds to minutes and are billed when they end, so in less time a busy worker looks idle.
	window = 30 * time.Second
	// known is the least time that tells anything.
	known = 5 * time.Second
	// mostSamples is about how many are kept of a worker, however often it is looked at.
	mostSamples = 64
)

// A Meter makes a demand of what a worker is seen to have used. The zero value has seen nothing.
type Meter struct {
	samples []sample
	waited  time.Time
}

// A sample is how many tokens had been used at a time.
type sample struct {
	at    time.Time
	total int64
}

// Look takes over how many tokens a worker has used since it began, and whether its requests wait. A total that is less than
// the one before is that of a monitor which began anew.
func (m *Meter) Look(now time.Time, total int64, waiting bool) {
	if waiting {
		m.waited = now
	}

	if n := len(m.samples); n > 0 && total < m.samples[n-1].total {
		m.samples = nil
	}

	// One that is as old as the window or older is what the newest is compared with.
	for len(m.samples) > 1 && now.Sub(m.samples[1].at) >= window {
		m.samples = m.samples[1:]
	}

	if n := len(m.samples); n > 1 && m.samples[n-1].at.Sub(m.samples[n-2].at) < window/mostSamples {
		m.samples = m.samples[:n-1]
	}

	m.samples = append(m.samples, sample{now, total})
}

// Demand returns the tokens per minute that a worker used, and whether it needs what it has all the same: where its use is not
// known yet, and where it had to wait not long ago.
func (m *Meter) Demand(now time.Time) (used int64, keeps bool) {
	n := len(m.samples)
	if n == 0 {
		return 0, true
	}

	span := m.samples[n-1].at.Sub(m.samples[0].at)
	if span < known {
		return 0, true
	}

	used = int64(float64(m.samples[n-1].total-m.samples[0].total) * float64(time.Minute) / float64(span))

	return used, !m.waited.IsZero() && now.Sub(m.waited) < window
}
