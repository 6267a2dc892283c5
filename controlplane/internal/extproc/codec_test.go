package extproc

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func headersMessage(headers ...*corev3.HeaderValue) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: headers}, EndOfStream: true,
		}},
		MetadataContext: &corev3.Metadata{}, ProtocolConfig: &extprocv3.ProtocolConfiguration{},
	}
}

func raw(key, value string) *corev3.HeaderValue {
	return &corev3.HeaderValue{Key: key, RawValue: []byte(value)}
}

// all are headers as Envoy sends them, more than a block holds.
func all() (list []*corev3.HeaderValue) {
	for _, name := range Headers {
		list = append(list, raw(name, "value of "+name))
	}
	return list
}

var messages = map[string]struct {
	*extprocv3.ProcessingRequest
	read bool // by the codec itself
}{
	"none":          {headersMessage(), true},
	"usual":         {headersMessage(all()[:usual]...), true},
	"more":          {headersMessage(all()...), false},
	"empty value":   {headersMessage(raw(":path", "")), true},
	"no text":       {headersMessage(raw(":path", "\xff\x00")), true},
	"others":        {headersMessage(raw(":path", "/"), raw("cookie", "1")), false},
	"not raw":       {headersMessage(&corev3.HeaderValue{Key: ":path", Value: "/"}), false},
	"another kind":  {&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseTrailers{}}, false},
	"nothing":       {&extprocv3.ProcessingRequest{}, false},
	"only settings": {&extprocv3.ProcessingRequest{ObservabilityMode: true}, false},
}

// requireLikeProtobuf requires the codec to make of a message what protobuf makes, as far as anybody looks.
func requireLikeProtobuf(t *testing.T, message []byte) {
	t.Helper()
	var want, got extprocv3.ProcessingRequest
	failed := proto.Unmarshal(message, &want)
	err := ours.Unmarshal(mem.BufferSlice{mem.SliceBuffer(message)}, &got)
	if failed != nil {
		if !new(block).read(message) {
			require.Error(t, err)
		}
		return
	}
	require.NoError(t, err)
	require.IsType(t, want.GetRequest(), got.GetRequest())
	wants, gots := want.GetRequestHeaders().GetHeaders().GetHeaders(), got.GetRequestHeaders().GetHeaders().GetHeaders()
	require.Len(t, gots, len(wants))
	for n := range wants {
		require.Equal(t, wants[n].GetKey(), gots[n].GetKey())
		require.Equal(t, wants[n].GetValue(), gots[n].GetValue())
		require.Equal(t, string(wants[n].GetRawValue()), string(gots[n].GetRawValue()))
	}
}

func TestTheCodecReadsWhatProtobufReads(t *testing.T) {
	for name, c := range messages {
		t.Run(name, func(t *testing.T) {
			message, err := proto.Marshal(c.ProcessingRequest)
			require.NoError(t, err)
			require.Equal(t, c.read, new(block).read(message))
			requireLikeProtobuf(t, message)
			twice := append(message, message...)
			requireLikeProtobuf(t, twice)
		})
	}
}

func FuzzTheCodecReadsWhatProtobufReads(f *testing.F) {
	for _, c := range messages {
		message, err := proto.Marshal(c.ProcessingRequest)
		require.NoError(f, err)
		f.Add(message)
	}
	f.Fuzz(requireLikeProtobuf)
}

// The codec is there for that.
func TestARequestsHeadersAreReadWithThreeAllocations(t *testing.T) {
	browsers := asEnvoySends()
	traced := headersMessage(append(browsers.GetRequestHeaders().GetHeaders().GetHeaders(), raw("traceparent", "00-1-2-01"))...)
	for name, m := range map[string]*extprocv3.ProcessingRequest{"of a browser": browsers, "of a client that traces": traced} {
		t.Run(name, func(t *testing.T) {
			message, err := proto.Marshal(m)
			require.NoError(t, err)
			data, c := mem.BufferSlice{mem.SliceBuffer(message)}, ours
			require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = c.Unmarshal(data, new(extprocv3.ProcessingRequest)) }), 3.0)
		})
	}
}

// Envoy's streams are read by it, and other services of the same server keep codecs of their own.
func TestTheCodecIsThatOfProtobuf(t *testing.T) {
	require.Equal(t, ours, encoding.GetCodecV2("proto"))
	require.Equal(t, "proto", ours.Name())
}
