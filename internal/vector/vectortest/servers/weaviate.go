package servers

import (
	"testing"
)

// A WeaviateServer is where a Weaviate server listens.
type WeaviateServer struct {
	// REST is the URL of its REST API, and GRPC the address of its gRPC API.
	REST, GRPC string
}

// Weaviate starts a Weaviate server of one node, which lets everybody do everything unless the environment says otherwise.
func Weaviate(t testing.TB, env ...string) WeaviateServer {
	t.Helper()

	rest, grpc := freePort(t), freePort(t)
	s := WeaviateServer{REST: "http://127.0.0.1:" + rest, GRPC: "127.0.0.1:" + grpc}

	env = append([]string{
		"PERSISTENCE_DATA_PATH=" + t.TempDir(),
		"GRPC_PORT=" + grpc,
		"GO_PROFILING_DISABLE=true",
		"DISABLE_TELEMETRY=true",
		"DEFAULT_VECTORIZER_MODULE=none",
		"LOG_LEVEL=warning",
		// A cluster of its own, which elects itself as soon as it is allowed to.
		"CLUSTER_HOSTNAME=n0",
		"CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"CLUSTER_GOSSIP_BIND_PORT=" + freePort(t),
		"CLUSTER_DATA_BIND_PORT=" + freePort(t),
		"RAFT_PORT=" + freePort(t),
		"RAFT_INTERNAL_RPC_PORT=" + freePort(t),
		"RAFT_JOIN=n0",
		"RAFT_BOOTSTRAP_EXPECT=1",
		"RAFT_HEARTBEAT_TIMEOUT=1",
		"RAFT_ELECTION_TIMEOUT=1",
		"RAFT_LEADER_LEASE_TIMEOUT=1",
		"RAFT_TIMEOUTS_MULTIPLIER=1",
	}, env...)

	start(t, answers(s.REST+"/v1/.well-known/ready"), inCache(t, "bin", "weaviate"),
		[]string{"--host", "127.0.0.1", "--port", rest, "--scheme", "http"}, env)

	return s
}
