package weaviate

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a driver that is closed with the test.
func open(t *testing.T, c vector.Config) *driver {
	t.Helper()

	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d.(*driver)
}
