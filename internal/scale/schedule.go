package scale

import (
	"fmt"
	"time"
	_ "time/tzdata" // An image need not have the time zones.

	"github.com/robfig/cron/v3"
)

// A Schedule raises the least size for a time.
type Schedule struct {
	// Replicas is the least size from each time that Cron names, for Duration.
	Replicas int32
	Duration time.Duration

	cron     string
	schedule cron.Schedule
}

// ParseSchedule reads a schedule: five fields of cron, in a time zone of the IANA's such as Europe/Berlin, UTC where it is empty.
func ParseSchedule(fields, zone string, d time.Duration, replicas int32) (Schedule, error) {
	if zone == "" {
		zone = "UTC"
	}

	if _, err := time.LoadLocation(zone); err != nil {
		return Schedule{}, fmt.Errorf("%q is no time zone: name one such as Europe/Berlin", zone)
	}

	if d <= 0 || d > 31*24*time.Hour {
		return Schedule{}, fmt.Errorf("a schedule lasts from a moment to 31 days, and not %s", d)
	}

	s, err := cron.ParseStandard("CRON_TZ=" + zone + " " + fields)
	if err != nil {
		return Schedule{}, fmt.Errorf("%q is no schedule such as \"0 8 * * MON-FRI\": %w", fields, err)
	}

	return Schedule{Replicas: replicas, Duration: d, cron: fields, schedule: s}, nil
}

// active says whether a schedule has begun and not ended.
func (s Schedule) active(now time.Time) bool {
	begun := s.schedule.Next(now.Add(-s.Duration))

	return !begun.IsZero() && !begun.After(now)
}

// changes returns when a schedule next begins or ends; zero for never.
func (s Schedule) changes(now time.Time) time.Time {
	next := s.schedule.Next(now)
	if begun := s.schedule.Next(now.Add(-s.Duration)); !begun.IsZero() && !begun.After(now) {
		next = earlier(next, begun.Add(s.Duration))
	}

	return next
}

// least returns the least size at a time, and a word about the schedule that asks for it.
func (p Policy) least(now time.Time) (low int32, said string) {
	low = p.Min

	for _, s := range p.Schedules {
		if s.Replicas > low && s.active(now) {
			low, said = s.Replicas, fmt.Sprintf("; the schedule %q asks for at least %d", s.cron, s.Replicas)
		}
	}

	return min(low, p.Max), said
}

func (p Policy) nextSchedule(now time.Time) time.Time {
	var out time.Time
	for _, s := range p.Schedules {
		out = earlier(out, s.changes(now))
	}

	return out
}
