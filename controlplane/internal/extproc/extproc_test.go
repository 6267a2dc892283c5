package extproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline ends a test that hangs; nothing waits this long otherwise.
const deadline = 20 * time.Second

// An acquirerFunc is an Acquirer in one function.
type acquirerFunc func(ctx context.Context, r admission.Request) (*slot, error)

func (f acquirerFunc) Acquire(ctx context.Context, r admission.Request) (*slot, error) {
	return f(ctx, r)
}

// A slot is a lease that counts its releases.
type slot struct {
	endpoint string
	wait     admission.Wait
	releases atomic.Int32
	released chan struct{} // gets one element per release
}

func newSlot() *slot {
	return &slot{endpoint: "/run/e/web-0001.sock", released: make(chan struct{}, 8)}
}

func (s *slot) Endpoint() string { return s.endpoint }

func (s *slot) Wait() admission.Wait { return s.wait }

func (s *slot) Release() {
	s.releases.Add(1)
	s.released <- struct{}{}
}

// await fails the test when c gets nothing in time.
func await[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(deadline):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// A bench is a server on a unix socket with a client, as Envoy is one.
type bench struct {
	server *grpc.Server
	client extprocv3.ExternalProcessorClient
	log    *logtest.Hook
}

func start(t testing.TB, acquire acquirerFunc) bench {
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	require.NoError(t, err)

	log, hook := logtest.NewNullLogger()
	server := grpc.NewServer(ServerOptions()...)
	extprocv3.RegisterExternalProcessorServer(server, New(acquire, log))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()

	conn, err := grpc.NewClient("unix:"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, await(t, done))
	})
	return bench{server, extprocv3.NewExternalProcessorClient(conn), hook}
}

// open starts a stream for a function. cancel resets it, as Envoy does when the client leaves.
func (b bench) open(t testing.TB, function ...string) (extprocv3.ExternalProcessor_ProcessClient, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	for _, name := range function {
		ctx = metadata.AppendToOutgoingContext(ctx, FunctionKey, name)
	}
	stream, err := b.client.Process(ctx)
	require.NoError(t, err)
	return stream, cancel
}

// request is the first message of every stream.
func request() *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: ":path", RawValue: []byte("/hello")}, {Key: "x-request-id", RawValue: []byte("0001")},
			}},
			EndOfStream: true,
		},
	}}
}

// ask opens a stream, sends the request and returns the first reply.
func (b bench) ask(t testing.TB, function string) (extprocv3.ExternalProcessor_ProcessClient, *extprocv3.ProcessingResponse) {
	stream, _ := b.open(t, function)
	require.NoError(t, stream.Send(request()))
	reply, err := stream.Recv()
	require.NoError(t, err)
	return stream, reply
}

// A document is the body of a refusal.
type document struct {
	Type, Title, Cause string
	Status             int
}

// requireRefused checks a reply that Envoy would send to the client, and returns its headers.
func requireRefused(t *testing.T, reply *extprocv3.ProcessingResponse, code int, cause admission.Cause) map[string]string {
	t.Helper()
	require.NoError(t, reply.ValidateAll())
	got := reply.GetImmediateResponse()
	require.NotNil(t, got, "not refused: %v", reply)
	require.EqualValues(t, code, got.GetStatus().GetCode())
	require.Equal(t, "lambda_dispatch_"+string(cause), got.GetDetails())
	var body document
	require.NoError(t, json.Unmarshal(got.GetBody(), &body))
	require.NotEmpty(t, body.Title)
	require.Equal(t, document{"about:blank", body.Title, string(cause), code}, body)
	headers := map[string]string{}
	for _, h := range got.GetHeaders().GetSetHeaders() {
		headers[h.GetHeader().GetKey()] = string(h.GetHeader().GetRawValue())
	}
	require.Equal(t, "application/problem+json", headers["content-type"])
	return headers
}

// requireEnd checks that the server ended the stream, without an error.
func requireEnd(t testing.TB, stream extprocv3.ExternalProcessor_ProcessClient) {
	t.Helper()
	_, err := stream.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func TestDispatchedRequestHoldsItsLeaseUntilTheStreamEnds(t *testing.T) {
	lease := newSlot()
	functions := make(chan string, 1)
	b := start(t, func(_ context.Context, r admission.Request) (*slot, error) {
		functions <- r.Function
		return lease, nil
	})
	stream, reply := b.ask(t, "web")
	require.Equal(t, "web", await(t, functions))
	require.NotNil(t, reply.GetRequestHeaders().GetResponse().GetHeaderMutation(), "Envoy would not route again")
	require.NoError(t, reply.ValidateAll())
	endpoint := reply.GetDynamicMetadata().AsMap()[MetadataNamespace].(map[string]any)[EndpointKey]
	require.Equal(t, lease.endpoint, endpoint)

	trailers := &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{
		ResponseTrailers: &extprocv3.HttpTrailers{},
	}}
	require.NoError(t, stream.Send(trailers))
	reply, err := stream.Recv()
	require.NoError(t, err)
	require.NotNil(t, reply.GetResponseTrailers())
	require.Zero(t, lease.releases.Load())

	require.NoError(t, stream.CloseSend())
	requireEnd(t, stream)
	await(t, lease.released)
	require.EqualValues(t, 1, lease.releases.Load())
}

func TestEveryLaterMessageGetsItsEmptyReply(t *testing.T) {
	b := start(t, func(context.Context, admission.Request) (*slot, error) { return newSlot(), nil })
	stream, _ := b.ask(t, "web")
	for _, later := range []*extprocv3.ProcessingRequest{
		{Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{}}},
		{Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{}}},
		{Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{}}},
		{Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{}}},
		{Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{}}},
	} {
		require.NoError(t, stream.Send(later))
		reply, err := stream.Recv()
		require.NoError(t, err)
		kind := func(oneof any) string { return fmt.Sprintf("%T", oneof)[len("*ext_procv3.Processing"):] }
		require.Equal(t, kind(later.Request)[len("Request"):], kind(reply.Response)[len("Response"):])
	}
}

func TestLeaseIsReleasedWhenTheStreamBreaks(t *testing.T) {
	tests := map[string]func(bench, extprocv3.ExternalProcessor_ProcessClient, context.CancelFunc){
		"reset": func(_ bench, _ extprocv3.ExternalProcessor_ProcessClient, cancel context.CancelFunc) { cancel() },
		"server stops": func(b bench, _ extprocv3.ExternalProcessor_ProcessClient, _ context.CancelFunc) {
			b.server.Stop()
		},
		"unexpected message": func(_ bench, s extprocv3.ExternalProcessor_ProcessClient, _ context.CancelFunc) {
			_ = s.Send(request())
		},
		"empty message": func(_ bench, s extprocv3.ExternalProcessor_ProcessClient, _ context.CancelFunc) {
			_ = s.Send(&extprocv3.ProcessingRequest{})
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			lease := newSlot()
			b := start(t, func(context.Context, admission.Request) (*slot, error) { return lease, nil })
			stream, cancel := b.open(t, "web")
			require.NoError(t, stream.Send(request()))
			_, err := stream.Recv()
			require.NoError(t, err)

			end(b, stream, cancel)
			await(t, lease.released)
			_, err = stream.Recv()
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			require.EqualValues(t, 1, lease.releases.Load())
		})
	}
}

func TestClientLeavesWhileQueued(t *testing.T) {
	queued, left := make(chan struct{}), make(chan error, 1)
	b := start(t, func(ctx context.Context, _ admission.Request) (*slot, error) {
		close(queued)
		<-ctx.Done()
		left <- ctx.Err()
		return nil, admission.Evict(admission.Canceled)
	})
	stream, cancel := b.open(t, "web")
	require.NoError(t, stream.Send(request()))
	await(t, queued)
	cancel()
	require.ErrorIs(t, await(t, left), context.Canceled)
	_, err := stream.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
	require.Empty(t, b.log.AllEntries())
}

// TestRefusals is DESIGN's table from causes to HTTP.
func TestRefusals(t *testing.T) {
	tests := map[admission.Cause]struct {
		status int
		retry  string // if nobody knows when
	}{
		admission.QueueFull: {503, "1"}, admission.QueueTimeout: {504, ""}, admission.Closed: {503, "1"},
		admission.UnknownFunction: {404, ""}, admission.Disabled: {404, ""}, admission.Canceled: {503, "1"}, admission.Overload: {503, "1"}, admission.NoLeader: {503, "1"},
		admission.Denied: {502, ""}, admission.NotFound: {502, ""}, admission.InitFailed: {502, ""},
		admission.Crashed: {502, ""}, admission.StartTimeout: {502, ""}, admission.TooShort: {502, ""},
		admission.TooLarge: {502, ""}, admission.TimedOut: {502, ""}, admission.FunctionError: {502, ""},
		admission.Untrusted: {502, ""}, admission.Recursive: {502, ""}, admission.AppUnhealthy: {502, ""},
		admission.AppStarting: {504, ""},
		admission.NoEnvoy:     {503, "1"},
		admission.Throttled:   {503, "1"}, admission.Network: {503, "1"}, admission.Unknown: {503, "1"},
		admission.Malformed: {500, ""}, admission.Internal: {500, ""},
	}
	require.Len(t, tests, len(admission.Causes))
	require.Len(t, answers, len(admission.Causes))
	b := start(t, func(_ context.Context, r admission.Request) (*slot, error) {
		cause, known := strings.CutSuffix(r.Function, " in 2.1 s")
		refused := admission.Reject(admission.Cause(cause))
		if known {
			refused.RetryAfter = 2100 * time.Millisecond
		}
		return nil, fmt.Errorf("wrapped: %w", refused)
	})
	for _, cause := range admission.Causes {
		stream, reply := b.ask(t, string(cause))
		headers := requireRefused(t, reply, tests[cause].status, cause)
		require.Equal(t, tests[cause].retry, headers["retry-after"], cause)
		requireEnd(t, stream)
		_, reply = b.ask(t, string(cause)+" in 2.1 s")
		require.Equal(t, "3", requireRefused(t, reply, tests[cause].status, cause)["retry-after"], cause)
	}
	_, reply := b.ask(t, "a cause of tomorrow")
	requireRefused(t, reply, 503, admission.Unknown)
}

// Envoy asks again, and then whoever decides now.
func TestARequestThatIsElsewhereIsNotAnswered(t *testing.T) {
	b := start(t, func(context.Context, admission.Request) (*slot, error) { return nil, admission.ErrElsewhere })
	stream, _ := b.open(t, "web")
	require.NoError(t, stream.Send(request()))
	_, err := stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestNoFunctionOrTwoMeanUnknown(t *testing.T) {
	b := start(t, func(_ context.Context, r admission.Request) (*slot, error) {
		require.Empty(t, r.Function)
		return nil, admission.Reject(admission.UnknownFunction)
	})
	for _, names := range [][]string{nil, {""}, {"web", "api"}} {
		stream, _ := b.open(t, names...)
		require.NoError(t, stream.Send(request()))
		reply, err := stream.Recv()
		require.NoError(t, err)
		requireRefused(t, reply, 404, admission.UnknownFunction)
	}
}

func TestMalformedFirstMessageIsRefused(t *testing.T) {
	b := start(t, func(context.Context, admission.Request) (*slot, error) { panic("must not be asked") })
	messages := map[string]func(extprocv3.ExternalProcessor_ProcessClient) error{
		"nothing in it": func(s extprocv3.ExternalProcessor_ProcessClient) error {
			return s.Send(&extprocv3.ProcessingRequest{})
		},
		"a body": func(s extprocv3.ExternalProcessor_ProcessClient) error {
			return s.Send(&extprocv3.ProcessingRequest{
				Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{}},
			})
		},
		"no message": func(s extprocv3.ExternalProcessor_ProcessClient) error { return s.CloseSend() },
	}
	for name, send := range messages {
		stream, _ := b.open(t, "web")
		require.NoError(t, send(stream))
		reply, err := stream.Recv()
		require.NoError(t, err, name)
		requireRefused(t, reply, 500, admission.Malformed)
		requireEnd(t, stream)
		require.Equal(t, logrus.ErrorLevel, b.log.LastEntry().Level)
	}
}

func TestABugFailsOneRequestOnly(t *testing.T) {
	b := start(t, func(_ context.Context, r admission.Request) (*slot, error) {
		switch r.Function {
		case "panic":
			panic("bug")
		case "error":
			return nil, errors.New("secret detail")
		}
		return newSlot(), nil
	})
	for _, function := range []string{"panic", "error"} {
		stream, reply := b.ask(t, function)
		requireRefused(t, reply, 500, admission.Internal)
		require.NotContains(t, string(reply.GetImmediateResponse().GetBody()), "secret")
		requireEnd(t, stream)
	}
	_, reply := b.ask(t, "web")
	require.NotNil(t, reply.GetRequestHeaders())
	require.Len(t, b.log.AllEntries(), 2)
}

// faulty is an acquirer whose leases panic when it is released.
type faulty struct{}

func (faulty) Acquire(context.Context, admission.Request) (faulty, error) { return faulty{}, nil }
func (faulty) Endpoint() string                                           { return "/run/e/web-0001.sock" }

func (faulty) Wait() admission.Wait { return admission.Wait{} }
func (faulty) Release()             { panic("bug") }

func TestABugAfterTheAnswerIsAnError(t *testing.T) {
	log, _ := logtest.NewNullLogger()
	server := New(faulty{}, log)
	stream := &scripted{ctx: t.Context(), received: [][]byte{{0x12, 0x00}}} // request_headers, empty
	require.Equal(t, codes.Internal, status.Code(server.Process(stream)))
	require.Len(t, stream.sent, 1)
}

// FuzzFirst holds that no first message makes the server panic, hang, or let a request pass without a lease.
func FuzzFirst(f *testing.F) {
	f.Add([]byte{}, "web")
	f.Add([]byte{0x12, 0x00}, "web")
	f.Add([]byte{0x22, 0x00}, "")
	log, _ := logtest.NewNullLogger()
	server := New(acquirerFunc(func(_ context.Context, r admission.Request) (*slot, error) {
		if r.Function != "web" {
			return nil, admission.Reject(admission.UnknownFunction)
		}
		return newSlot(), nil
	}), log)
	f.Fuzz(func(t *testing.T, first []byte, function string) {
		stream := &scripted{
			ctx:      metadata.NewIncomingContext(context.Background(), metadata.Pairs(FunctionKey, function)),
			received: [][]byte{first},
		}
		_ = server.Process(stream)
		require.Len(t, stream.sent, 1)
		if stream.sent[0].GetImmediateResponse() == nil {
			require.Equal(t, "web", function)
		}
	})
}

// TestFrozenReplyEncodesTheSame holds the shortcut of replies equal to the plain message.
func TestFrozenReplyEncodesTheSame(t *testing.T) {
	var r replies
	plain := dispatched(map[string]*structpb.Value{EndpointKey: structpb.NewStringValue("/run/e/web-0001.sock")})
	encoded, err := proto.Marshal(r.to("/run/e/web-0001.sock"))
	require.NoError(t, err)
	decoded := &extprocv3.ProcessingResponse{}
	require.NoError(t, proto.Unmarshal(encoded, decoded))
	require.True(t, proto.Equal(plain, decoded))
	require.Same(t, r.to("/run/e/web-0001.sock"), r.to("/run/e/web-0001.sock"))

	_, err = proto.Marshal(r.to("\xff"))
	require.Error(t, err)
}
