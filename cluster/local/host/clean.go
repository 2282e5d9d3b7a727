//go:build linux

package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// KillContainers ends the containers of one containerd, told by the address of its socket, and their shims. It needs no
// containerd to be running.
func KillContainers(socket string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		procs, err := processes()
		if err != nil {
			return err
		}
		shims := shimsOf(procs, socket)
		if len(shims) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("cannot end containers: %d of their shims do not die", len(shims))
		}
		// Children before parents: a shim that outlives its container reaps it.
		for _, pid := range descendants(procs, shims) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended meanwhile.
		}
		for _, pid := range shims {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

type process struct {
	pid, ppid int
	argv      []string
}

func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	var procs []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil || len(cmdline) == 0 {
			continue // It has ended.
		}
		p := process{pid: pid}
		for _, arg := range bytes.Split(bytes.TrimRight(cmdline, "\x00"), []byte{0}) {
			p.argv = append(p.argv, string(arg))
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 {
			continue
		}
		if p.ppid, err = strconv.Atoi(fields[1]); err != nil {
			continue
		}
		procs = append(procs, p)
	}
	return procs, nil
}

// shimsOf finds containerd's shims by the socket they were told to report to.
func shimsOf(procs []process, socket string) []int {
	var pids []int
	for _, p := range procs {
		if !strings.HasPrefix(filepath.Base(p.argv[0]), "containerd-shim") {
			continue
		}
		if i := slices.Index(p.argv, "-address"); i >= 0 && i+1 < len(p.argv) && p.argv[i+1] == socket {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// descendants are all processes below the given ones, without these.
func descendants(procs []process, roots []int) []int {
	children := map[int][]int{}
	for _, p := range procs {
		children[p.ppid] = append(children[p.ppid], p.pid)
	}
	var found []int
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		found = append(found, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	slices.Reverse(found)
	return found
}

// Strays are the processes whose program is below one directory and whose arguments mention another: a cluster's own, even
// if every record of them is lost.
func Strays(programs, mentioned string) ([]int, error) {
	procs, err := processes()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, p := range procs {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
		if err != nil || !strings.HasPrefix(exe, programs+"/") {
			continue
		}
		if slices.ContainsFunc(p.argv, func(arg string) bool { return strings.Contains(arg, mentioned+"/") }) {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

// KillStrays ends them by force.
func KillStrays(programs, mentioned string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pids, err := Strays(programs, mentioned)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("cannot end processes %v: they do not die", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended meanwhile.
		}
	}
}

// OtherKubelet is the id of a kubelet that runs on this machine and is not the given one, else 0. Two of them would fight
// over cgroups and iptables.
func OtherKubelet(ours int) int {
	procs, err := processes()
	if err != nil {
		return 0
	}
	for _, p := range procs {
		if name := filepath.Base(p.argv[0]); p.pid != ours && (name == "kubelet" || name == "k3s" || name == "k0s") {
			return p.pid
		}
	}
	return 0
}

// UnmountBelow detaches every mount below a directory, the innermost first.
func UnmountBelow(dir string) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("cannot list mounts: %w", err)
	}
	points := mountPoints(string(b), dir)
	for _, p := range slices.Backward(points) {
		if err := syscall.Unmount(p, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("cannot unmount %s: %w", p, err)
		}
	}
	return nil
}

// mountPoints are those at or below a directory, in the order they were mounted.
func mountPoints(mountinfo, dir string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if p := unescape.Replace(fields[4]); p == dir || strings.HasPrefix(p, dir+"/") {
			points = append(points, p)
		}
	}
	return points
}

// RemoveCgroups removes the kubelet's empty cgroups of every hierarchy. One that still has processes, and so is not ours,
// cannot be removed and stays.
func RemoveCgroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods*") // The pattern is well-formed.
	unified, _ := filepath.Glob("/sys/fs/cgroup/kubepods*") // The pattern is well-formed.
	for _, root := range append(roots, unified...) {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, d := range slices.Backward(dirs) {
			_ = syscall.Rmdir(d)
		}
	}
}

// RemoveBrokenLinks removes the symbolic links in a directory that point below a target, such as the kubelet's in
// /var/log/containers.
func RemoveBrokenLinks(dir, target string) {
	links, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, l := range links {
		path := filepath.Join(dir, l.Name())
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, target+"/") {
			_ = os.Remove(path)
		}
	}
	_ = os.Remove(dir) // If it is empty now.
}
