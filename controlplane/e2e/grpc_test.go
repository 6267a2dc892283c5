package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// Scenario 16, where the peer speaks to the app what gRPC needs.
func TestGRPC(t *testing.T) {
	t.Parallel()
	stack := startSites(t, nil)
	for _, name := range []string{"library", "binary-h2c"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, stack, name, controlplanetest.HTTP2)
			conn := s.dialGRPC()
			t.Run("unary", func(t *testing.T) { unaryCallsAnswer(t, conn) })
			t.Run("stream", func(t *testing.T) { streamsRunBothWaysAtOnce(t, conn) })
			t.Run("status", func(t *testing.T) { statusesAreTheApps(t, conn) })
			t.Run("abort", func(t *testing.T) { streamsHoldASlotUntilTheirCallerLeaves(t, s.in(t), conn) })
		})
	}
	t.Run("binary over http1", func(t *testing.T) { // not the protocol that a gRPC app wants, and it says so
		conn := newSite(t, stack, "binary", controlplanetest.HTTP2).dialGRPC()
		err := conn.Invoke(t.Context(), contract.EchoUnary, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
		require.ErrorContains(t, err, "gRPC requires HTTP/2")
	})
}

func (s site) dialGRPC() *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.Front,
		grpc.WithAuthority(s.host()), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func unaryCallsAnswer(t *testing.T, conn *grpc.ClientConn) {
	for _, size := range []int{0, 1, 1 << 20} {
		var header, trailer metadata.MD
		message, answer := wrapperspb.Bytes(bytes.Repeat([]byte("x"), size)), new(wrapperspb.BytesValue)
		require.NoError(t, conn.Invoke(t.Context(), contract.EchoUnary, message, answer, grpc.Header(&header), grpc.Trailer(&trailer)))
		require.True(t, bytes.Equal(message.Value, answer.Value))
		require.Equal(t, []string{"seen"}, trailer[contract.SeenMetadata])
		require.Equal(t, []string{"application/grpc"}, header["content-type"])
	}
}

func streamsRunBothWaysAtOnce(t *testing.T, conn *grpc.ClientConn) {
	stream, err := conn.NewStream(t.Context(), contract.EchoStreamDesc(), contract.EchoStream)
	require.NoError(t, err)
	for i := range 20 { // each comes back before the next is sent
		message, answer := wrapperspb.Bytes(fmt.Appendf(nil, "message %d", i)), new(wrapperspb.BytesValue)
		require.NoError(t, stream.SendMsg(message))
		require.NoError(t, stream.RecvMsg(answer))
		require.Equal(t, message.Value, answer.Value)
	}
	require.NoError(t, stream.CloseSend())
	require.ErrorIs(t, stream.RecvMsg(new(wrapperspb.BytesValue)), io.EOF)
	require.Equal(t, []string{"seen"}, stream.Trailer()[contract.SeenMetadata])
}

func statusesAreTheApps(t *testing.T, conn *grpc.ClientConn) {
	for _, code := range []codes.Code{codes.NotFound, codes.FailedPrecondition, codes.ResourceExhausted, codes.Unavailable} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), contract.FailMetadata, fmt.Sprint(int(code)))
		var trailer metadata.MD
		err := conn.Invoke(ctx, contract.EchoUnary, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue), grpc.Trailer(&trailer))
		require.Equal(t, code, status.Code(err))
		require.Equal(t, "failed as asked", status.Convert(err).Message())
		require.Equal(t, []string{"seen"}, trailer[contract.SeenMetadata])

		stream, err := conn.NewStream(ctx, contract.EchoStreamDesc(), contract.EchoStream)
		require.NoError(t, err)
		answer := new(wrapperspb.BytesValue)
		require.NoError(t, stream.SendMsg(wrapperspb.Bytes([]byte("x"))))
		require.NoError(t, stream.RecvMsg(answer))
		require.NoError(t, stream.CloseSend())
		require.Equal(t, code, status.Code(stream.RecvMsg(answer)), "after the last answer")
	}
	err := conn.Invoke(t.Context(), "/lambdadispatch.test.Echo/Nothing", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

func streamsHoldASlotUntilTheirCallerLeaves(t *testing.T, s site, conn *grpc.ClientConn) {
	s.eventuallyInFlight(0)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream, err := conn.NewStream(ctx, contract.EchoStreamDesc(), contract.EchoStream)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(wrapperspb.Bytes(nil)))
	require.NoError(t, stream.RecvMsg(new(wrapperspb.BytesValue)))
	s.eventuallyInFlight(1)
	leave()
	s.eventuallyInFlight(0)
}
