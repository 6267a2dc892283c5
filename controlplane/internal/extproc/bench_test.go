package extproc

import (
	"context"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// noLease is always granted and costs nothing, so that the benchmarks see this package only.
type noLease struct{}

func (noLease) Acquire(context.Context, admission.Request) (noLease, error) { return noLease{}, nil }

func (noLease) Endpoint() string { return "/run/lambda-dispatch/e/web-0001.sock" }
func (noLease) Release()         {}
func (noLease) Wait() admission.Wait {
	return admission.Wait{Instance: "i-1", Start: admission.NoStart}
}

// BenchmarkProcess is what this package adds to gRPC: both codecs and the exchange, no transport.
func BenchmarkProcess(b *testing.B) {
	log, _ := logtest.NewNullLogger()
	server := New(noLease{}, log)
	first, err := proto.Marshal(request())
	require.NoError(b, err)
	ctx := metadata.NewIncomingContext(context.Background(), metadata.Pairs(FunctionKey, "web"))
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		stream := scripted{ctx: ctx, received: [][]byte{first}}
		_ = server.Process(&stream)
		if _, err := (proto.MarshalOptions{}).MarshalAppend(buf, stream.sent[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is one request over a unix socket, the client's half included.
func BenchmarkStream(b *testing.B) {
	env := start(b, func(context.Context, admission.Request) (*slot, error) {
		return &slot{endpoint: "/run/e/web-0001.sock", released: make(chan struct{}, 1)}, nil
	})
	ctx := metadata.AppendToOutgoingContext(context.Background(), FunctionKey, "web")
	first := request()
	b.ReportAllocs()
	b.SetParallelism(50)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := roundTrip(ctx, env.client, first); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func roundTrip(ctx context.Context, client extprocv3.ExternalProcessorClient, first *extprocv3.ProcessingRequest) error {
	stream, err := client.Process(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(first); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for err == nil {
		_, err = stream.Recv()
	}
	return nil
}
