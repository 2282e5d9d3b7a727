package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Chains of our own, so that they can be told from others' and removed.
const (
	inputChain   = "AIDISPATCHER-INPUT"
	outputChain  = "AIDISPATCHER-OUTPUT"
	forwardChain = "AIDISPATCHER-FORWARD"
	masqChain    = "AIDISPATCHER-MASQ"
)

type chain struct {
	table, parent, name string
	rules               [][]string
}

func chains(podCIDR, serviceCIDR string) []chain {
	// What still has a service's address is for one that kube-proxy does not know yet. On its way out somebody else might answer, and a
	// client would stay with him.
	unknown := []string{"-d", serviceCIDR, "-j", "REJECT"}

	return []chain{
		{"filter", "INPUT", inputChain, [][]string{
			{"-s", podCIDR, "-j", "ACCEPT"},
		}},
		{"filter", "OUTPUT", outputChain, [][]string{unknown}},
		{"filter", "FORWARD", forwardChain, [][]string{
			unknown,
			{"-s", podCIDR, "-j", "ACCEPT"},
			{"-d", podCIDR, "-j", "ACCEPT"},
		}},
		{"nat", "POSTROUTING", masqChain, [][]string{
			// To other pods a pod shows its own address, to everybody else the machine's.
			{"-s", podCIDR, "!", "-d", podCIDR, "-j", "MASQUERADE"},
		}},
	}
}

// EnsureForwarding lets pods reach one another, the machine and the outside, whatever policy the machine's own firewall has, and
// lets nobody look for services outside.
func EnsureForwarding(ctx context.Context, podCIDR, serviceCIDR string) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return fmt.Errorf("cannot turn IP forwarding on: %w", err)
	}
	for _, c := range chains(podCIDR, serviceCIDR) {
		// It exists already, or the next command says what is wrong.
		_ = iptables(ctx, "-t", c.table, "-N", c.name)
		if err := iptables(ctx, "-t", c.table, "-F", c.name); err != nil {
			return err
		}
		for _, r := range c.rules {
			if err := iptables(ctx, append([]string{"-t", c.table, "-A", c.name}, r...)...); err != nil {
				return err
			}
		}
		if iptables(ctx, "-t", c.table, "-C", c.parent, "-j", c.name) == nil {
			continue
		}
		if err := iptables(ctx, "-t", c.table, "-I", c.parent, "1", "-j", c.name); err != nil {
			return err
		}
	}
	return nil
}

func iptables(ctx context.Context, args ...string) error {
	return run(ctx, "", "iptables", append([]string{"-w", "10"}, args...)...)
}

// Sysctl names a kernel setting and the least value that the cluster needs.
type Sysctl struct {
	Path string // under /proc/sys
	Min  int
}

// Inotify are the settings that a node with many pods runs out of first.
var Inotify = []Sysctl{
	{"fs/inotify/max_user_instances", 1024},
	{"fs/inotify/max_user_watches", 524288},
}

// Raise sets each setting that is lower than needed and returns what it did, to be told.
func Raise(settings []Sysctl) ([]string, error) {
	var done []string
	for _, s := range settings {
		path := "/proc/sys/" + s.Path
		b, err := os.ReadFile(path)
		if err != nil {
			return done, fmt.Errorf("cannot read a kernel setting: %w", err)
		}
		have, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return done, fmt.Errorf("cannot parse kernel setting %s: %w", s.Path, err)
		}
		if have >= s.Min {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(s.Min)), 0o600); err != nil {
			return done, fmt.Errorf("cannot raise a kernel setting: %w", err)
		}
		done = append(done, fmt.Sprintf("raised %s from %d to %d", strings.ReplaceAll(s.Path, "/", "."), have, s.Min))
	}
	return done, nil
}

// PortFreeWithin says whether a TCP port can be listened on at the address, now or within a limit.
func PortFreeWithin(addr string, limit time.Duration) bool {
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if l, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // It returns at once.
			return l.Close() == nil
		}
		if time.Now().After(end) {
			return false
		}
	}
}
