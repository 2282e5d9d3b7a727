// Package push sends a monitor's figures to where they cannot be scraped from, by Prometheus' remote write 1.0. It knows
// the registry it reads, and must not know what any figure means.
package push
