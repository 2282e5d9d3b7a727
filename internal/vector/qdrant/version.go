package qdrant

import (
	"context"
	"fmt"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// The first version that has metadata of collections.
const (
	leastMajor = 1
	leastMinor = 16
)

// stamps returns an Unsupported error unless the server keeps owners. Older ones take a request with an owner and forget it.
func (d *driver) stamps(ctx context.Context) error {
	if d.capable.Load() {
		return nil
	}

	r, err := d.service.HealthCheck(ctx, &pb.HealthCheckRequest{})
	if err != nil {
		return failed(err)
	}

	if old(r.GetVersion()) {
		return vector.Errorf(vector.Unsupported, "the server is Qdrant %s, which has no place for an owner: at least %d.%d is needed", r.GetVersion(), leastMajor, leastMinor)
	}

	d.capable.Store(true)

	return nil
}

// old says that a version is before the first that will do. What does not look like one is a build of somebody's own.
func old(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}

	return major < leastMajor || major == leastMajor && minor < leastMinor
}
