package saver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func TestKilledAtEveryStep(t *testing.T) {
	killedAtEveryStep(t, func(int) *home { return newHome(t) })
}

// killedAtEveryStep kills a monitor at every step of a life, each in a repository of its own: at each operation on the store,
// and at each change of the volume. After each death the slot's newest state is the last that was acknowledged or a later one, and
// never torn.
func killedAtEveryStep(t *testing.T, home func(at int) *home) {
	t.Helper()

	for at := 1; ; at++ {
		if at > 300 {
			t.Fatal("the life does not end")
		}

		h := home(at)
		p := h.worker(t, 1)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "CRASH_AT="+strconv.Itoa(at), "VOLUME="+p.Volume, "SECRET="+p.Dir)

		out, err := cmd.Output()
		if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil && (!ok || s.Signal() != syscall.SIGKILL) {
			t.Fatalf("before step %d it ended by itself: %v", at, err)
		}

		acked := 0

		for line := range strings.Lines(string(out)) {
			if n, ok := strings.CutPrefix(line, "acknowledged "); ok {
				acked, _ = strconv.Atoi(strings.TrimSpace(n))
			}
		}

		next := h.worker(t, 9)
		mustRestore(t, next, monitorapi.RestoreLatest)

		if m, err := next.readMeta(); err != nil || len(m.Rejected) > 0 {
			t.Errorf("killed at step %d: torn are %+v, %v", at, m, err)
		}

		got, _ := strconv.Atoi(read(t, next, "a"))
		if b := read(t, next, "b"); b != read(t, next, "a") || got < acked || got > 3 {
			t.Errorf("killed at step %d: %d was acknowledged, and restored are %q and %q", at, acked, read(t, next, "a"), b)
		}

		if err == nil {
			t.Logf("%d steps", at-1)

			if acked != 3 {
				t.Errorf("a life of which nothing came has acknowledged %d saves", acked)
			}

			return
		}
	}
}

// live is a worker's life in a process that is killed at a step: restore, three saves, and a restore once more.
func live() {
	limit, _ := strconv.Atoi(os.Getenv("CRASH_AT"))

	var steps atomic.Int64

	step := func(string) {
		if steps.Add(1) == int64(limit) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)

			select {} // It is on its way.
		}
	}

	p := Place{Volume: os.Getenv("VOLUME"), Dir: os.Getenv("SECRET"), Slot: "0", Epoch: 1, step: step}
	p.open = func(ctx context.Context, c store.Config) (*blob.Bucket, error) {
		b, err := store.Open(ctx, c)
		if err != nil {
			return nil, err
		}

		return stepping(b, func() { step("store") }), nil
	}

	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}

	ctx := context.Background()
	die(Restore(ctx, p, monitorapi.RestoreLatest, quiet))

	s, err := New(Config{Place: p, Interval: time.Hour, LastTimeout: time.Minute}, time.Now, quiet)
	die(err)

	for n := 1; n <= 3; n++ {
		for _, name := range []string{"a", "b"} {
			die(os.WriteFile(filepath.Join(p.state(), name), []byte(strconv.Itoa(n)), 0o600))
		}

		die(s.save(ctx, monitorapi.SaveInterval, ""))
		fmt.Println("acknowledged", n)
	}

	p.Epoch = 2
	_, err = s.link.repo.ClaimAt(ctx, "0", 2, "pod-2")
	die(err)
	die(Restore(ctx, p, monitorapi.RestoreLatest, quiet))
}
