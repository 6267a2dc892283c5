package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
)

func dialGRPC(t *testing.T) *grpc.ClientConn {
	conn, err := grpc.NewClient(strings.TrimPrefix(serve(t).url, "http://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGRPCUnary(t *testing.T) {
	conn := dialGRPC(t)
	var trailer metadata.MD
	answer := new(wrapperspb.BytesValue)
	message := wrapperspb.Bytes(bytes.Repeat([]byte("x"), 1<<20))
	require.NoError(t, conn.Invoke(t.Context(), contract.EchoUnary, message, answer, grpc.Trailer(&trailer)))
	require.Equal(t, message.Value, answer.Value)
	require.Equal(t, []string{"seen"}, trailer[contract.SeenMetadata])

	ctx := metadata.AppendToOutgoingContext(t.Context(), contract.FailMetadata, "9")
	err := conn.Invoke(ctx, contract.EchoUnary, message, answer)
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.ErrorContains(t, err, "failed as asked")
}

func TestGRPCStream(t *testing.T) {
	stream, err := dialGRPC(t).NewStream(t.Context(), contract.EchoStreamDesc(), contract.EchoStream)
	require.NoError(t, err)
	answer := new(wrapperspb.BytesValue)
	for _, message := range []string{"one", "two", "three"} { // each before the next: both ways at once
		require.NoError(t, stream.SendMsg(wrapperspb.Bytes([]byte(message))))
		require.NoError(t, stream.RecvMsg(answer))
		require.Equal(t, message, string(answer.Value))
	}
	require.NoError(t, stream.CloseSend())
	require.ErrorIs(t, stream.RecvMsg(answer), io.EOF)
	require.Equal(t, []string{"seen"}, stream.Trailer()[contract.SeenMetadata])
}

func TestWebSocket(t *testing.T) {
	s := serve(t)
	conn, response, err := websocket.Dial(t.Context(), s.url+"/ws", nil)
	require.NoError(t, err)
	defer func() { _ = conn.Drop() }()
	require.Equal(t, "test-environment", response.Header.Get(contract.EnvironmentHeader))
	for _, message := range [][]byte{{}, []byte("hello"), bytes.Repeat([]byte("x"), 1<<20)} {
		require.NoError(t, conn.Write(websocket.Binary, message))
		_, got, err := conn.Read()
		require.NoError(t, err)
		require.True(t, bytes.Equal(message, got))
	}
	require.EqualValues(t, 1, s.inFlight.Load()) // for as long as the socket is open
	require.NoError(t, conn.Write(websocket.Text, []byte("close 4001 enough")))
	_, _, err = conn.Read()
	require.Equal(t, &websocket.CloseError{Code: 4001, Reason: "enough"}, err)
	require.Eventually(t, func() bool { return s.inFlight.Load() == 0 }, 10*time.Second, time.Millisecond)
}

func TestWebSocketDropped(t *testing.T) {
	conn, _, err := websocket.Dial(t.Context(), serve(t).url+"/ws", nil)
	require.NoError(t, err)
	defer func() { _ = conn.Drop() }()
	require.NoError(t, conn.Write(websocket.Text, []byte("drop")))
	_, _, err = conn.Read()
	require.ErrorIs(t, err, io.EOF)
}

func TestRunServesPlainHTTPUntilItsContextEnds(t *testing.T) {
	set := map[string]string{contract.PlainVariable: "1", "PORT": "0", contract.StartDelayVariable: "1"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, func(name string) string { return set[name] }, stdout) }()

	line, err := bufio.NewReader(said).ReadString('\n')
	require.NoError(t, err)
	port := strings.TrimSpace(strings.TrimPrefix(line, "listening on port "))
	response, err := http.Get("http://127.0.0.1:" + port + "/hello")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	cancel()
	require.NoError(t, <-ended)
}
