package extproc

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A codec is gRPC's own, but reads the message about a request's headers by itself, because one comes with each request: it makes three
// allocations of it, where protobuf makes ten for one header and 21 for four. What stands beside the headers it passes over.
type codec struct{ encoding.CodecV2 }

// A server that is forced to a codec uses it for all its services, and the relays' has another one. So this one takes the place of
// gRPC's own, everywhere in the process.
func init() { encoding.RegisterCodecV2(ours) }

var ours = codec{encoding.GetCodecV2("proto")}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, into any) error {
	if request, ok := into.(*extprocv3.ProcessingRequest); ok {
		if b := new(block); b.read(data.Materialize()) {
			request.Request = &b.request
			return nil
		}
	}
	return c.CodecV2.Unmarshal(data, into)
}

// Numbers of fields in messages of Envoy's.
const (
	requestHeadersField = 2 // of ProcessingRequest
	lastRequestField    = 7 // 2 to 7 are the kinds of ProcessingRequest
	headerMapField      = 1 // of HttpHeaders
	headerField         = 1 // of HeaderMap
	keyField            = 1 // of HeaderValue
	rawValueField       = 3
)

// usual is how many of the headers that Envoy is to send a request has at most, but for a few requests: five where the client traces.
const usual = 5

// A block is one allocation for a message with all that belongs to it.
type block struct {
	request extprocv3.ProcessingRequest_RequestHeaders
	http    extprocv3.HttpHeaders
	headers corev3.HeaderMap
	values  [usual]corev3.HeaderValue
	list    [usual]*corev3.HeaderValue
	n       int
}

// read tells whether it has understood all of the message. If not, b is of no use. b keeps message.
func (b *block) read(message []byte) bool {
	found := 0
	ok := fields(message, func(number protowire.Number, value []byte) bool {
		if number < requestHeadersField || number > lastRequestField {
			return true
		}
		found++
		return number == requestHeadersField && fields(value, b.readHTTP)
	})
	b.headers.Headers = b.list[:b.n]
	b.http.Headers, b.request.RequestHeaders = &b.headers, &b.http
	return ok && found == 1
}

func (b *block) readHTTP(number protowire.Number, value []byte) bool {
	return number != headerMapField || fields(value, b.readHeader)
}

func (b *block) readHeader(number protowire.Number, value []byte) bool {
	if number != headerField {
		return true
	}
	if b.n == usual {
		return false
	}
	h := &b.values[b.n]
	b.list[b.n] = h
	b.n++
	return fields(value, func(number protowire.Number, value []byte) bool {
		switch number {
		case keyField:
			h.Key = nameOf(value)
			return h.Key != ""
		case rawValueField:
			h.RawValue = value
			return value != nil
		default:
			return false
		}
	})
}

// nameOf is the name of a header that Envoy is to send; empty for others.
func nameOf(value []byte) string {
	for _, name := range Headers {
		if name == string(value) {
			return name
		}
	}
	return ""
}

// fields calls take with each field of a message, and with its bytes, nil for a field of another type. It tells whether there is a message,
// it is well formed, and take took all.
func fields(message []byte, take func(protowire.Number, []byte) bool) bool {
	if message == nil {
		return false
	}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, message[n:])
		if size < 0 {
			return false
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(message[n:])
		}
		if !take(number, value) {
			return false
		}
		message = message[n+size:]
	}
	return true
}
