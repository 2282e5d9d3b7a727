// Package host reads what the machine is and prepares it, and undoes what it prepared; it knows no cluster component.
package host

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Facts are what the configuration of a node depends on.
type Facts struct {
	// NodeIP is the machine's address on the interface of its default route, else any global address.
	NodeIP net.IP
	// MTU of that interface, in bytes.
	MTU int
	// CgroupV2 says that the unified hierarchy holds the controllers, rather than v1 or a hybrid of both.
	CgroupV2 bool
	// Systemd says that systemd is process 1, and so the owner of the cgroup tree.
	Systemd bool
	// CanLowerOOMScore says that processes may be protected from the kernel's memory killer (CAP_SYS_RESOURCE).
	CanLowerOOMScore bool
	// Nameservers are those that a pod can reach too: no loopback addresses.
	Nameservers []string
}

const capSysResource = 24

// Gather reads the machine's Facts.
func Gather() (Facts, error) {
	f := Facts{
		CgroupV2: exists("/sys/fs/cgroup/cgroup.controllers"),
		Systemd:  exists("/run/systemd/system"),
	}
	ifc, err := mainInterface()
	if err != nil {
		return f, err
	}
	f.NodeIP, f.MTU = globalIPv4(ifc), ifc.MTU
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return f, fmt.Errorf("cannot read this process's capabilities: %w", err)
	}
	f.CanLowerOOMScore = hasCapability(string(status), capSysResource)
	// systemd-resolved keeps the real servers in the first file, and points the second at itself.
	for _, path := range []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if f.Nameservers = nameservers(string(b)); len(f.Nameservers) > 0 {
			break
		}
	}
	return f, nil
}

// hasCapability looks a capability up in the CapEff line of /proc/PID/status.
func hasCapability(status string, bit uint) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && caps&(1<<bit) != 0
		}
	}
	return false
}

func nameservers(resolvConf string) []string {
	var servers []string
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip := net.ParseIP(fields[1]); ip != nil && !ip.IsLoopback() {
			servers = append(servers, fields[1])
		}
	}
	return servers
}

// mainInterface is the interface of the default route, else the first with a global address.
func mainInterface() (*net.Interface, error) {
	if f, err := os.Open("/proc/net/route"); err == nil {
		defer f.Close() // Only read.
		for s := bufio.NewScanner(f); s.Scan(); {
			fields := strings.Fields(s.Text())
			if len(fields) < 2 || fields[1] != "00000000" {
				continue
			}
			if ifc, err := net.InterfaceByName(fields[0]); err == nil && globalIPv4(ifc) != nil {
				return ifc, nil
			}
		}
	}
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list network interfaces: %w", err)
	}
	for i := range all {
		if all[i].Flags&net.FlagUp != 0 && globalIPv4(&all[i]) != nil {
			return &all[i], nil
		}
	}
	return nil, errors.New("cannot find an IPv4 address for the node: this machine has only loopback")
}

func globalIPv4(ifc *net.Interface) net.IP {
	addrs, err := ifc.Addrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.To4()
		}
	}
	return nil
}

// FreeBytes is the space left for the directory, or for its nearest parent that exists.
func FreeBytes(dir string) (uint64, error) {
	for !exists(dir) && dir != "/" {
		dir = filepath.Dir(dir)
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("cannot read the free space of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:gosec // A block size is positive.
}

// HasCgroups says whether the controllers that a kubelet needs are there, in either version.
func HasCgroups() bool {
	if b, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		have := strings.Fields(string(b))
		for _, c := range []string{"cpu", "memory", "pids"} {
			if !slices.Contains(have, c) {
				return false
			}
		}
		return true
	}
	return exists("/sys/fs/cgroup/cpu") && exists("/sys/fs/cgroup/memory") && exists("/sys/fs/cgroup/pids")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
