package extproc

import (
	"sync"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// replies caches the encoded reply for each endpoint. Building and encoding its two nested structs costs more than the rest of a
// request in this package. There are as many replies as endpoint names, which are reused.
type replies struct {
	byEndpoint sync.Map // endpoint: *extprocv3.ProcessingResponse, which is never changed
}

// to returns the reply that sends a request to an endpoint. It is shared, so it must not be changed.
func (r *replies) to(endpoint string) *extprocv3.ProcessingResponse {
	if known, ok := r.byEndpoint.Load(endpoint); ok {
		return known.(*extprocv3.ProcessingResponse)
	}
	reply := frozen(dispatched(map[string]*structpb.Value{EndpointKey: structpb.NewStringValue(endpoint)}))
	r.byEndpoint.Store(endpoint, reply)
	return reply
}

// dispatched is the reply that names the endpoint in dynamic metadata, which clients cannot forge. The header mutation is empty
// but must be there: without it Envoy does not choose the route again, and would miss the one for requests that have an endpoint.
func dispatched(fields map[string]*structpb.Value) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
			Response: &extprocv3.CommonResponse{HeaderMutation: &extprocv3.HeaderMutation{}},
		}},
		DynamicMetadata: metadataOf(fields),
	}
}

func metadataOf(fields map[string]*structpb.Value) *structpb.Struct {
	inner := structpb.NewStructValue(&structpb.Struct{Fields: fields})
	return &structpb.Struct{Fields: map[string]*structpb.Value{MetadataNamespace: inner}}
}

// frozen returns a message that encodes to the same bytes as reply. The bytes are its unknown fields, so encoding only copies them.
func frozen(reply *extprocv3.ProcessingResponse) *extprocv3.ProcessingResponse {
	encoded, err := proto.Marshal(reply)
	if err != nil { // a path that is not UTF-8: let Send say so
		return reply
	}
	out := &extprocv3.ProcessingResponse{}
	out.ProtoReflect().SetUnknown(encoded)
	return out
}
