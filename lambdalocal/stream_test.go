package lambdalocal_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// streamed is what the SDK made of a response stream.
type streamed struct {
	version string
	chunks  []string
	last    *types.InvokeWithResponseStreamCompleteEvent
}

func (m *machine) stream(o order) streamed {
	m.t.Helper()
	out, err := m.client.InvokeWithResponseStream(context.Background(), &lambda.InvokeWithResponseStreamInput{
		FunctionName: aws.String("web"), Payload: payload(o), LogType: types.LogTypeTail,
	})
	require.NoError(m.t, err)
	events := out.GetStream()
	defer func() { require.NoError(m.t, events.Close()) }()
	s := streamed{version: aws.ToString(out.ExecutedVersion)}
	for e := range events.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			s.chunks = append(s.chunks, string(e.Value.Payload))
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			s.last = &e.Value
		}
	}
	require.NoError(m.t, events.Err())
	require.NotNil(m.t, s.last, "a stream ends with InvokeComplete")
	return s
}

func TestAnAnswerIsSentInChunks(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	s := m.stream(order{Do: "repeat", Ms: 200_000})
	require.Equal(t, "$LATEST", s.version)
	require.Greater(t, len(s.chunks), 1)
	require.Equal(t, `"`+strings.Repeat("x", 200_000)+`"`, strings.Join(s.chunks, ""))
	require.Nil(t, s.last.ErrorCode)
	log, err := base64.StdEncoding.DecodeString(aws.ToString(s.last.LogResult))
	require.NoError(t, err)
	require.Contains(t, string(log), "REPORT RequestId")
}

func TestAnErrorEndsTheStream(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	for _, test := range []struct {
		order
		code    string
		details string
	}{
		{order{Do: "error", Text: "no luck"}, "Runtime.Unknown", "MyError"}, // the runtime's header does not name it
		{order{Do: "exit", Ms: 1}, "Runtime.ExitError", "Runtime.ExitError"},
	} {
		s := m.stream(test.order)
		require.Empty(t, s.chunks)
		require.Equal(t, test.code, aws.ToString(s.last.ErrorCode))
		var details struct{ ErrorType string }
		require.NoError(t, json.Unmarshal([]byte(aws.ToString(s.last.ErrorDetails)), &details))
		require.Equal(t, test.details, details.ErrorType)
	}
}

func TestARefusedStreamIsAnOrdinaryError(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.ReservedConcurrency = new(0) })
	stream := func(name string, kind types.ResponseStreamingInvocationType) error {
		_, err := m.client.InvokeWithResponseStream(context.Background(), &lambda.InvokeWithResponseStreamInput{
			FunctionName: aws.String(name), InvocationType: kind,
		})
		return err
	}
	var throttled *types.TooManyRequestsException
	require.ErrorAs(t, stream("web", ""), &throttled)
	require.Equal(t, types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded, throttled.Reason)
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, stream("nobody", ""), &notFound)
	require.ErrorContains(t, stream("web", "Event"), "ValidationException: 1 validation error detected: Value 'Event' at 'invocationType'")
	require.NoError(t, stream("web", types.ResponseStreamingInvocationTypeDryRun))
	require.Zero(t, m.Counters("web").Started)
}
