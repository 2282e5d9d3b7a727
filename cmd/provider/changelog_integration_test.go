//go:build integration

package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	changelogsv1alpha1 "github.com/crossplane/crossplane-runtime/v2/apis/changelogs/proto/v1alpha1"
)

// A changeLog is the sidecar that providers send their changes to.
type changeLog struct {
	changelogsv1alpha1.UnimplementedChangeLogServiceServer

	entries chan *changelogsv1alpha1.ChangeLogEntry
}

func (l *changeLog) SendChangeLog(_ context.Context, r *changelogsv1alpha1.SendChangeLogRequest) (*changelogsv1alpha1.SendChangeLogResponse, error) {
	l.entries <- r.GetEntry()

	return &changelogsv1alpha1.SendChangeLogResponse{}, nil
}

// listenForChanges serves a change log and returns its socket.
func listenForChanges(t *testing.T) (*changeLog, string) {
	t.Helper()

	socket := filepath.Join(t.TempDir(), "changelogs.sock")

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}

	log := &changeLog{entries: make(chan *changelogsv1alpha1.ChangeLogEntry, 100)}
	s := grpc.NewServer()
	changelogsv1alpha1.RegisterChangeLogServiceServer(s, log)

	go s.Serve(l) // It ends when it is stopped.

	t.Cleanup(s.Stop)

	return log, socket
}

// tells checks that a change from one size to another was sent.
func (l *changeLog) tells(t *testing.T, want map[string]string) {
	t.Helper()

	select {
	case e := <-l.entries:
		if e.GetOperation() != changelogsv1alpha1.OperationType_OPERATION_TYPE_UPDATE || e.GetProvider() != "provider-aidispatcher:dev" {
			t.Errorf("change log: %s by %s, want an update by provider-aidispatcher:dev", e.GetOperation(), e.GetProvider())
		}

		if diff := cmp.Diff(want, e.GetAdditionalDetails()); diff != "" {
			t.Errorf("change log: -want, +got:\n%s", diff)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the change log was told nothing of %v", want)
	}
}
