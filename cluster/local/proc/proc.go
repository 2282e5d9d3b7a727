// Package proc keeps named background processes across invocations of a short-lived program;
// it knows nothing of what the processes are.
//
// A process is remembered by its id, its start time and the boot it was started in, so that an id
// which the kernel has given to somebody else since is never signalled.
package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Spec says how to start a process.
type Spec struct {
	Name  string   // file-name safe, unique within a Group
	Path  string   // absolute path of the program
	Argv0 string   // what the program sees as its own name; Path if empty
	Args  []string // without the program's name
	Env   []string // added to the environment of the caller
	// Inputs are files that the process reads once, at its start. A change of one is a reason to restart it.
	Inputs []string
}

// Record is what is remembered of a started process.
type Record struct {
	PID int `json:"pid"`
	// StartTicks is field 22 of /proc/PID/stat: clock ticks between boot and the process's start.
	StartTicks uint64 `json:"startTicks"`
	BootID     string `json:"bootID"`
	// Fingerprint is of the Spec and of the content of its Inputs.
	Fingerprint string `json:"fingerprint"`
}

// A Group is the processes whose records are in one directory.
type Group struct {
	Records string // directory of the records
	Logs    string // directory of the log files, one a process
}

// Ensure starts the process unless it runs already as the Spec says. One that runs otherwise is stopped first, for
// at most grace before it is killed. It reports whether it started anything.
func (g Group) Ensure(s Spec, grace time.Duration) (started bool, err error) {
	want, err := s.fingerprint()
	if err != nil {
		return false, err
	}
	if r, err := g.read(s.Name); err == nil && r.Alive() {
		if r.Fingerprint == want {
			return false, nil
		}
		if err := g.Stop(s.Name, grace); err != nil {
			return false, err
		}
	}
	return true, g.start(s, want)
}

func (g Group) start(s Spec, fingerprint string) error {
	for _, d := range []string{g.Records, g.Logs} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("cannot make a directory: %w", err)
		}
	}
	log, err := os.OpenFile(g.Log(s.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // As the system's own logs.
	if err != nil {
		return fmt.Errorf("cannot open the log of %s: %w", s.Name, err)
	}
	defer log.Close() // The process has its own descriptor.

	cmd := exec.Command(s.Path, s.Args...) //nolint:noctx // It outlives this process.
	if s.Argv0 != "" {
		cmd.Args[0] = s.Argv0
	}
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own: no signal of the caller's terminal reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", s.Name, err)
	}
	// Reaped here while the caller lives, by init afterwards.
	go cmd.Wait() //nolint:errcheck // Alive is asked instead.

	r, err := observe(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("cannot observe %s, see %s: %w", s.Name, g.Log(s.Name), err)
	}
	r.Fingerprint = fingerprint
	return g.write(s.Name, r)
}

// Stop ends a process: politely, and after grace by force. A process that does not run is stopped already.
func (g Group) Stop(name string, grace time.Duration) error {
	r, err := g.read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 10 * time.Second}} {
		if !r.Alive() {
			break
		}
		if err := syscall.Kill(r.PID, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot signal %s: %w", name, err)
		}
		for end := time.Now().Add(step.wait); r.Alive() && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if r.Alive() {
		return fmt.Errorf("cannot stop %s: process %d does not die", name, r.PID)
	}
	return os.Remove(g.record(name))
}

// Alive says whether the named process runs.
func (g Group) Alive(name string) bool {
	r, err := g.read(name)
	return err == nil && r.Alive()
}

// PID is the id of the named process, 0 if it does not run.
func (g Group) PID(name string) int {
	if r, err := g.read(name); err == nil && r.Alive() {
		return r.PID
	}
	return 0
}

// Names lists the processes that have a record, running or not, sorted.
func (g Group) Names() []string {
	files, _ := filepath.Glob(filepath.Join(g.Records, "*.json")) // The pattern is well-formed.
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(names)
	return names
}

// Log is the path of a process's log file.
func (g Group) Log(name string) string { return filepath.Join(g.Logs, name+".log") }

func (g Group) record(name string) string { return filepath.Join(g.Records, name+".json") }

func (g Group) read(name string) (Record, error) {
	var r Record
	b, err := os.ReadFile(g.record(name))
	if err != nil {
		return r, fmt.Errorf("cannot read the record of %s: %w", name, err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("cannot decode the record of %s: %w", name, err)
	}
	return r, nil
}

func (g Group) write(name string, r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot encode the record of %s: %w", name, err)
	}
	tmp := g.record(name) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o644); err != nil { //nolint:gosec // Whoever may log in may ask for the status.
		return fmt.Errorf("cannot write the record of %s: %w", name, err)
	}
	return os.Rename(tmp, g.record(name))
}

// Alive says whether this very process, and not another of the same id, runs.
func (r Record) Alive() bool {
	now, err := observe(r.PID)
	return err == nil && now.StartTicks == r.StartTicks && now.BootID == r.BootID
}

// observe fills a Record with what the kernel knows of a process. A zombie is no process.
func observe(pid int) (Record, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Record{}, fmt.Errorf("cannot read the state of process %d: %w", pid, err)
	}
	state, ticks, err := parseStat(string(stat))
	if err != nil {
		return Record{}, err
	}
	if state == "Z" || state == "X" {
		return Record{}, fmt.Errorf("process %d has ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Record{}, fmt.Errorf("cannot read the boot id: %w", err)
	}
	return Record{PID: pid, StartTicks: ticks, BootID: strings.TrimSpace(string(boot))}, nil
}

// parseStat takes the state and the start time out of /proc/PID/stat. The second field is the program's name in
// parentheses and may itself hold spaces and parentheses; so fields are counted from the last parenthesis.
func parseStat(stat string) (state string, startTicks uint64, err error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	if i < 0 || len(fields) < 20 {
		return "", 0, fmt.Errorf("cannot parse process state %q", stat)
	}
	startTicks, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("cannot parse process state %q: %w", stat, err)
	}
	return fields[0], startTicks, nil
}
