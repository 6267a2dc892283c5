package extproc

import (
	"context"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
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

// asEnvoySends is the first message of a browser's request.
func asEnvoySends() *extprocv3.ProcessingRequest {
	return headersMessage(raw(":method", "GET"), raw(":path", "/hello?name=value"), raw("accept", "text/html,*/*;q=0.8"),
		raw("x-request-id", "7c1f1b5e-6d8a-4f0e-9a0b-0b8f8f1d2c3e"))
}

// BenchmarkProcess is what this package adds to gRPC: both codecs and the exchange, no transport.
func BenchmarkProcess(b *testing.B) {
	log, _ := logtest.NewNullLogger()
	server := New(noLease{}, log)
	first, err := proto.Marshal(asEnvoySends())
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
	first := asEnvoySends()
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

// BenchmarkUnmarshal reads the message that comes with each request.
func BenchmarkUnmarshal(b *testing.B) {
	message, err := proto.Marshal(asEnvoySends())
	require.NoError(b, err)
	data := mem.BufferSlice{mem.SliceBuffer(message)}
	for name, codec := range map[string]encoding.CodecV2{"ours": ours, "protobuf": ours.CodecV2} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Unmarshal(data, new(extprocv3.ProcessingRequest)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
