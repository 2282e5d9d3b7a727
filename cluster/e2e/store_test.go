//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// A store is a pgvector of a test's own, which runs on this machine and is reached from the cluster's pods.
type store struct {
	namespace string
	// local is its endpoint for this process, and remote the one for pods.
	local, remote string
}

// startStore starts a store for a namespace. What the namespace keeps in it is let go before it ends: a resource whose
// store has gone would wait for it for ever.
func startStore(t *testing.T, ns string) *store {
	t.Helper()

	local := servers.PGlite(t)

	u, err := url.Parse(local)
	if err != nil {
		t.Fatal(err)
	}

	remote := *u
	remote.User, remote.Host = nil, forward(t, nodeAddress(t), u.Host)

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()

		if t.Failed() {
			explain(ctx, t, ns)
		}

		if err := kube.DeleteAllOf(ctx, &v1alpha1.AIDispatcher{}, client.InNamespace(ns)); err != nil {
			t.Error(err)
		}

		for left := (&agentv1alpha1.VectorCollectionList{}); ; time.Sleep(100 * time.Millisecond) {
			if err := kube.List(ctx, left, client.InNamespace(ns)); err != nil {
				t.Errorf("cannot wait until the collections are gone: %v", err)

				return
			}

			if len(left.Items) == 0 {
				return
			}
		}
	})

	return &store{namespace: ns, local: local, remote: remote.String()}
}

// nodeAddress is where pods reach this machine, which is the cluster's node.
func nodeAddress(t *testing.T) string {
	t.Helper()

	nodes := &corev1.NodeList{}
	if err := kube.List(t.Context(), nodes); err != nil {
		t.Fatal(err)
	}

	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return a.Address
			}
		}
	}

	t.Fatal("the node has no address")

	return ""
}

// forward listens on an address of this machine and passes connections on to another one, until the test ends.
func forward(t *testing.T, address, to string) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatalf("cannot listen where pods reach this machine: this test needs the one-machine cluster: %v", err)
	}

	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		open []net.Conn
	)

	pass := func(from net.Conn) {
		defer from.Close()

		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
		if err != nil {
			return
		}
		defer conn.Close()

		mu.Lock()
		open = append(open, from, conn)
		mu.Unlock()

		go func() {
			_, _ = io.Copy(conn, from) // Whoever ends first ends both.
			_ = conn.Close()
		}()

		_, _ = io.Copy(from, conn)
	}

	wg.Go(func() {
		for {
			from, err := lis.Accept()
			if err != nil {
				return
			}

			wg.Go(func() { pass(from) })
		}
	})

	t.Cleanup(func() {
		_ = lis.Close()

		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})

	return lis.Addr().String()
}

// configure tells the namespace where the store is, under the name that the example uses.
func (s *store) configure(t *testing.T) {
	t.Helper()

	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "vectors"}
	secret := &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"credentials": "postgres:postgres"}}
	config := &agentv1alpha1.ProviderConfig{ObjectMeta: meta, Spec: agentv1alpha1.ProviderConfigSpec{VectorStore: &agentv1alpha1.VectorStore{
		Type: agentv1alpha1.StorePGVector, Endpoint: s.remote,
		Credentials: &agentv1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{
			SecretRef: &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: s.namespace, Name: "vectors"}, Key: "credentials"},
		}},
	}}}

	for _, o := range []client.Object{secret, config} {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// connect returns a connection of its own for each use: the server has one session for all of them.
func (s *store) connect(t *testing.T) *pgx.Conn {
	t.Helper()

	c, err := pgx.ParseConfig(s.local)
	if err != nil {
		t.Fatal(err)
	}

	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol

	conn, err := pgx.ConnectConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}

	return conn
}

func (s *store) exec(t *testing.T, sql string) {
	t.Helper()

	conn := s.connect(t)
	defer conn.Close(t.Context())

	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (s *store) number(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()

	conn := s.connect(t)
	defer conn.Close(t.Context())

	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}

	return n
}

// rows counts the vectors of a collection.
func (s *store) rows(t *testing.T, collection string) int {
	t.Helper()

	return s.number(t, fmt.Sprintf("select count(*) from %s", pgx.Identifier{collection, collection}.Sanitize()))
}

// has says whether there is a collection.
func (s *store) has(t *testing.T, collection string) bool {
	t.Helper()

	return s.number(t, "select count(*) from pg_tables where schemaname = $1 and tablename = $1", collection) == 1
}

// tables counts the collections.
func (s *store) tables(t *testing.T) int {
	t.Helper()

	return s.number(t, "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')")
}
