package compose

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/crossplane/function-sdk-go"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// quickstartRequest is the quickstart's call once all it composes exists: about 24 kB with the managed fields that the
// API server keeps beside each object.
func quickstartRequest(b *testing.B) *fnv1.RunFunctionRequest {
	b.Helper()

	xr := readStruct(b, root+"/examples/quickstart/aidispatcher.yaml")
	rsp := run(b, newFunction(), request(b, xr, nil))
	observed := map[string]*structpb.Struct{}

	for name, r := range rsp.GetDesired().GetResources() {
		o := clone(r.GetResource())
		o.Fields["metadata"] = structpb.NewStructValue(clone(field(o, "metadata").GetStructValue()))
		field(o, "metadata").GetStructValue().Fields["managedFields"] = managedFields(r.GetResource())
		observed[name] = o
	}

	status := parseStruct(b, deploymentYAML)
	observed[resourceDeployment].Fields["status"] = status.GetFields()["status"]
	observed[resourceAgentScaler].Fields["status"] = parseStruct(b, scalerYAML).GetFields()["status"]
	observed["extra"] = observed[resourceServiceAccount]

	return request(b, xr, observed)
}

// managedFields returns what the API server would keep for an object: its own shape once more.
func managedFields(s *structpb.Struct) *structpb.Value {
	fields := func(s *structpb.Struct) object {
		o := object{}
		for k, v := range s.GetFields() {
			o["f:"+k] = v
		}

		return o
	}

	return asValue(list{
		object{"manager": "apiextensions.crossplane.io/composed", "operation": "Apply", "fieldsV1": fields(s)},
		object{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": fields(field(s, "metadata").GetStructValue())},
		object{"manager": "provider", "operation": "Update", "subresource": "status", "fieldsV1": fields(field(s, "spec").GetStructValue())},
	})
}

// BenchmarkRunFunction is the function without gRPC, on the quickstart's call.
func BenchmarkRunFunction(b *testing.B) {
	req := quickstartRequest(b)
	b.Logf("request: %d bytes, %d observed resources", proto.Size(req), len(req.GetObserved().GetResources()))

	f := newFunction()
	b.ReportAllocs()

	for b.Loop() {
		if rsp := run(b, f, req); len(rsp.GetResults()) > 0 {
			b.Fatal(rsp.GetResults())
		}
	}
}

// prepared answers every call with the same response: what a server costs that decodes a request and decides nothing.
type prepared struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	rsp *fnv1.RunFunctionResponse
}

func (p *prepared) RunFunction(context.Context, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	return p.rsp, nil
}

// The environment that makes this test binary a server, so that a server's CPU time can be told from its callers'.
const (
	envServe   = "COMPOSE_BENCH_SERVE"
	envAddress = "COMPOSE_BENCH_ADDRESS"
	envRequest = "COMPOSE_BENCH_REQUEST"
)

func TestMain(m *testing.M) {
	if which := os.Getenv(envServe); which != "" {
		if err := serve(which, os.Getenv(envAddress), os.Getenv(envRequest)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}

	os.Exit(m.Run())
}

// serve serves as a function does in production, but for its TLS, which is the same for both.
func serve(which, address, request string) error {
	var srv fnv1.FunctionRunnerServiceServer = newFunction()

	if which == "floor" {
		b, err := os.ReadFile(filepath.Clean(request))
		if err != nil {
			return err
		}

		req := &fnv1.RunFunctionRequest{}
		if err := proto.Unmarshal(b, req); err != nil {
			return err
		}

		rsp, err := newFunction().RunFunction(context.Background(), req)
		if err != nil {
			return err
		}

		srv = &prepared{rsp: rsp}
	}

	return function.Serve(srv, function.Listen("tcp", address), function.Insecure(true), function.WithMetricsServer(""))
}

// BenchmarkGRPC compares the CPU time that a call costs the function's server with the floor: a bare server of the same
// SDK that decodes the same request and returns a prepared response. Both run side by side, each in a process of its own,
// and are called in turns by 8 callers, so that a busy machine slows both.
func BenchmarkGRPC(b *testing.B) {
	req := quickstartRequest(b)
	floor, callee := start(b, "floor", req), start(b, "function", req)

	// Short turns: what else the machine does falls on both.
	const callers, calls = 8, 50

	call(b, floor, req, callers, calls)
	call(b, callee, req, callers, calls)

	var floorCPU, functionCPU time.Duration

	n := 0

	for b.Loop() {
		floorCPU += call(b, floor, req, callers, calls)
		functionCPU += call(b, callee, req, callers, calls)
		n += callers * calls
	}

	b.ReportMetric(float64(floorCPU.Microseconds())/float64(n), "floor-cpu-µs/call")
	b.ReportMetric(float64(functionCPU.Microseconds())/float64(n), "function-cpu-µs/call")
	b.ReportMetric(float64(functionCPU)/float64(floorCPU), "ratio")
}

// A server in a process of its own.
type server struct {
	pid    int
	client fnv1.FunctionRunnerServiceClient
}

// start starts a server and waits until it answers.
func start(b *testing.B, which string, req *fnv1.RunFunctionRequest) server {
	b.Helper()

	m, err := proto.Marshal(req)
	if err != nil {
		b.Fatal(err)
	}

	file := filepath.Join(b.TempDir(), "request")
	if err := os.WriteFile(file, m, 0o600); err != nil {
		b.Fatal(err)
	}

	address := freeAddress(b)
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envServe+"="+which, envAddress+"="+address, envRequest+"="+file)
	cmd.Stderr = os.Stderr

	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}

	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}

	b.Cleanup(func() {
		_ = conn.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})

	s := server{pid: cmd.Process.Pid, client: fnv1.NewFunctionRunnerServiceClient(conn)}

	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
	defer cancel()

	if _, err := s.client.RunFunction(ctx, req, grpc.WaitForReady(true)); err != nil {
		b.Fatal(err)
	}

	return s
}

// call makes calls by each of some callers at once and returns the CPU time the server took for them.
func call(b *testing.B, s server, req *fnv1.RunFunctionRequest, callers, calls int) time.Duration {
	b.Helper()

	before := cpu(b, s.pid)
	errs := make(chan error, callers)

	for range callers {
		go func() {
			for range calls {
				if _, err := s.client.RunFunction(b.Context(), req); err != nil {
					errs <- fmt.Errorf("cannot call: %w", err)

					return
				}
			}

			errs <- nil
		}()
	}

	for range callers {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}

	return cpu(b, s.pid) - before
}

// cpu returns the CPU time a process has taken, user and system, in the kernel's ticks of 10 ms: proc(5), fields 14 and 15.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()

	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}

	// The second field is a name in brackets, which may hold spaces.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))

	var ticks int64

	for _, s := range f[11:13] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}

		ticks += n
	}

	return time.Duration(ticks) * 10 * time.Millisecond
}

func freeAddress(b *testing.B) string {
	b.Helper()

	lis, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}

	defer lis.Close() // Only its address was wanted.

	return lis.Addr().String()
}
