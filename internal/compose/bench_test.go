package compose

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

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

// BenchmarkGRPC compares the CPU time a call costs over gRPC, client and server together, with that of the floor. Both
// are measured in turns within one run, so that a busy machine slows both.
func BenchmarkGRPC(b *testing.B) {
	req := quickstartRequest(b)
	floor := dial(b, &prepared{rsp: run(b, newFunction(), req)})
	function := dial(b, newFunction())

	const callers, calls = 8, 400

	call(b, floor, req, callers, calls)
	call(b, function, req, callers, calls)

	var floorCPU, functionCPU time.Duration

	n := 0

	for b.Loop() {
		floorCPU += call(b, floor, req, callers, calls)
		functionCPU += call(b, function, req, callers, calls)
		n += callers * calls
	}

	b.ReportMetric(float64(floorCPU.Microseconds())/float64(n), "floor-cpu-µs/call")
	b.ReportMetric(float64(functionCPU.Microseconds())/float64(n), "function-cpu-µs/call")
	b.ReportMetric(float64(functionCPU)/float64(floorCPU), "ratio")
}

// dial starts a server for f on loopback and returns a client of it.
func dial(b *testing.B, f fnv1.FunctionRunnerServiceServer) fnv1.FunctionRunnerServiceClient {
	b.Helper()

	lis, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}

	srv := grpc.NewServer()
	fnv1.RegisterFunctionRunnerServiceServer(srv, f)

	done := make(chan error, 1)
	go func() { done <- srv.Serve(lis) }()

	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}

	b.Cleanup(func() {
		_ = conn.Close()

		srv.Stop()
		<-done
	})

	return fnv1.NewFunctionRunnerServiceClient(conn)
}

// call makes calls by each of some callers at once and returns the CPU time this process took for them.
func call(b *testing.B, c fnv1.FunctionRunnerServiceClient, req *fnv1.RunFunctionRequest, callers, calls int) time.Duration {
	b.Helper()

	before := cpu(b)
	errs := make(chan error, callers)

	for range callers {
		go func() {
			for range calls {
				if _, err := c.RunFunction(b.Context(), req); err != nil {
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

	return cpu(b) - before
}

// cpu returns the CPU time this process has taken, user and system.
func cpu(b *testing.B) time.Duration {
	b.Helper()

	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}

	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
