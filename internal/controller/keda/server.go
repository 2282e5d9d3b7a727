package keda

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	pb "github.com/southwest-ai/agent-operator/internal/controller/keda/externalscaler"
)

// metric is the only metric there is: how many workers a pool should have, of which each worker carries one.
const metric = "workers"

const (
	// maxStreams is how many pools KEDA may be told of as they change, and maxCalls how many calls one connection may have at a time.
	maxStreams = 4096
	maxCalls   = 2 * maxStreams
	// maxMessage bounds what KEDA may send, in bytes: a name, and a trigger's metadata.
	maxMessage = 64 << 10
	// unknownEvery is how often it is looked whether a pool is known by now.
	unknownEvery = time.Second
	// idle is after how long of silence a connection is tried, and gone how long that may take.
	idle, gone = 30 * time.Second, 10 * time.Second
	// shutdown is how long calls may take that are under way when the provider ends.
	shutdown = 5 * time.Second
)

// A Server answers KEDA.
type Server struct {
	pb.UnimplementedExternalScalerServer

	demands *Demands
	addr    string
	// certs is the directory of the certificate, empty for none.
	certs string
	log   logging.Logger

	streams chan struct{}
	stopped chan struct{}
}

// NewServer returns a server at an address. With a directory it speaks TLS, with the tls.crt and tls.key that are there, which are read
// for each connection, and if there is a ca.crt it wants a certificate of its caller, too.
func NewServer(d *Demands, addr, certs string, log logging.Logger) *Server {
	return &Server{demands: d, addr: addr, certs: certs, log: log, streams: make(chan struct{}, maxStreams), stopped: make(chan struct{})}
}

// NeedLeaderElection says that only a provider that works knows what to answer.
func (s *Server) NeedLeaderElection() bool { return true }

// Start serves until ctx is done, and then ends what is under way.
func (s *Server) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return errors.Wrap(err, "cannot listen for KEDA")
	}

	return s.serve(ctx, l)
}

func (s *Server) serve(ctx context.Context, l net.Listener) error {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: idle, Timeout: gone}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: gone, PermitWithoutStream: true}),
	}

	if s.certs != "" {
		if _, err := s.config(); err != nil {
			return err
		}

		opts = append(opts, grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion:         tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config() },
		})))
	}

	g := grpc.NewServer(opts...)
	pb.RegisterExternalScalerServer(g, s)

	ended := make(chan error, 1)

	go func() { ended <- g.Serve(l) }()

	s.log.Info("Serving KEDA", "address", l.Addr().String(), "tls", s.certs != "")

	select {
	case err := <-ended:
		return errors.Wrap(err, "cannot serve KEDA")
	case <-ctx.Done():
	}

	// Streams end by themselves when they hear of it, and calls are quick.
	close(s.stopped)

	late := time.AfterFunc(shutdown, g.Stop)
	defer late.Stop()

	g.GracefulStop()

	return errors.Wrap(<-ended, "cannot serve KEDA")
}

// config returns the certificates as they are now.
func (s *Server) config() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(s.certs, "tls.crt"), filepath.Join(s.certs, "tls.key"))
	if err != nil {
		return nil, errors.Wrap(err, "cannot read the certificate for KEDA")
	}

	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}

	ca, err := os.ReadFile(filepath.Join(s.certs, "ca.crt"))
	if os.IsNotExist(err) {
		return out, nil
	}

	if err != nil {
		return nil, errors.Wrap(err, "cannot read who may sign KEDA's certificate")
	}

	out.ClientAuth, out.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, errors.Errorf("there is no certificate in %s", filepath.Join(s.certs, "ca.crt"))
	}

	return out, nil
}

func poolOf(r *pb.ScaledObjectRef) types.NamespacedName {
	return types.NamespacedName{Namespace: r.GetNamespace(), Name: r.GetName()}
}

// wanted returns how many workers a pool should have. What is not known is an error, upon which KEDA changes nothing.
func (s *Server) wanted(r *pb.ScaledObjectRef) (int, error) {
	n, known, _ := s.demands.size(poolOf(r))
	if !known {
		return 0, status.Errorf(codes.Unavailable, "it is not known how many workers %s should have: there is no AgentScaler of that name that is sized by KEDA, or it was not looked at yet", poolOf(r))
	}

	return n, nil
}

// GetMetricSpec says that a worker carries one of what GetMetrics returns. That is so for every pool, whether or not it is known.
func (s *Server) GetMetricSpec(context.Context, *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{{MetricName: metric, TargetSize: 1, TargetSizeFloat: 1}}}, nil
}

// GetMetrics returns how many workers a pool should have.
func (s *Server) GetMetrics(_ context.Context, r *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	if r.GetMetricName() != metric {
		return nil, status.Errorf(codes.InvalidArgument, "there is no metric %q, only %q", r.GetMetricName(), metric)
	}

	n, err := s.wanted(r.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}

	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{{MetricName: metric, MetricValue: int64(n), MetricValueFloat: float64(n)}}}, nil
}

// IsActive says whether a pool should have workers.
func (s *Server) IsActive(_ context.Context, r *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	n, err := s.wanted(r)
	if err != nil {
		return nil, err
	}

	return &pb.IsActiveResponse{Result: n > 0}, nil
}

// StreamIsActive says so as soon as it is known, and whenever it changes.
func (s *Server) StreamIsActive(r *pb.ScaledObjectRef, to grpc.ServerStreamingServer[pb.IsActiveResponse]) error {
	select {
	case s.streams <- struct{}{}:
	default:
		return status.Errorf(codes.ResourceExhausted, "%d pools are being watched, and no more can be", maxStreams)
	}

	defer func() { <-s.streams }()

	for told, was := false, false; ; {
		n, known, changed := s.demands.size(poolOf(r))

		if active := n > 0; known && (!told || active != was) {
			if err := to.Send(&pb.IsActiveResponse{Result: active}); err != nil {
				return err
			}

			told, was = true, active
		}

		if err := s.await(to.Context(), changed); err != nil {
			return err
		}

		select {
		case <-s.stopped:
			return nil
		default:
		}
	}
}

// await waits until a size changes, or a while for a pool that is not known, or until the server ends.
func (s *Server) await(ctx context.Context, changed <-chan struct{}) error {
	var due <-chan time.Time

	if changed == nil {
		t := time.NewTimer(unknownEvery)
		defer t.Stop()

		due = t.C
	}

	select {
	case <-changed:
	case <-due:
	case <-s.stopped:
	case <-ctx.Done():
		return ctx.Err()
	}

	return nil
}
