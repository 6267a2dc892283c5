package extproc

import (
	"errors"
	"fmt"
	"io"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// An exchange is one request's stream of messages. It belongs to the goroutine of the stream.
type exchange struct {
	stream   extprocv3.ExternalProcessor_ProcessServer
	answered bool // the request has been let through or refused
}

// first receives the request's headers, and what the route says about it.
func (e *exchange) first() (admission.Request, error) {
	message, err := e.stream.Recv()
	if err != nil {
		return admission.Request{}, fmt.Errorf("first message: %w: %w", err, admission.Reject(admission.Malformed))
	}
	if message.GetRequestHeaders() == nil {
		return admission.Request{}, fmt.Errorf("first message is %T, not request headers: %w",
			message.GetRequest(), admission.Reject(admission.Malformed))
	}
	return requestOf(e.stream.Context(), message.GetRequestHeaders().GetHeaders().GetHeaders()), nil
}

// dispatch lets the request through.
func (e *exchange) dispatch(reply *extprocv3.ProcessingResponse) error {
	e.answered = true
	return e.stream.Send(reply)
}

// refuse answers instead of the function, which ends the exchange.
func (e *exchange) refuse(refused *admission.Error) error {
	e.answered = true
	reply := immediate(refused)
	if fields := wishesOf(e.stream.Context()).refusal(refused); len(fields) > 0 {
		reply.DynamicMetadata = metadataOf(fields)
	}
	return e.stream.Send(reply)
}

// untilEnd returns when the request has ended: Envoy closes the stream, or the connection to it breaks.
func (e *exchange) untilEnd() error {
	for {
		request, err := e.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := e.pass(request); err != nil {
			return err
		}
	}
}

// pass answers a message about a dispatched request without changing anything.
func (e *exchange) pass(request *extprocv3.ProcessingRequest) error {
	reply := unchanged(request)
	if reply == nil {
		return status.Errorf(codes.InvalidArgument, "unexpected message %T", request.GetRequest())
	}
	return e.stream.Send(reply)
}

// immediate is the reply that makes Envoy answer the client itself.
func immediate(refused *admission.Error) *extprocv3.ProcessingResponse {
	p := problemOf(refused)
	headers := []*corev3.HeaderValueOption{header("content-type", "application/problem+json"), header(CauseHeader, string(p.cause))}
	if p.retryAfter != "" {
		headers = append(headers, header("retry-after", p.retryAfter))
	}
	return &extprocv3.ProcessingResponse{
		Response: &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(p.status)},
			Headers: &extprocv3.HeaderMutation{SetHeaders: headers},
			Body:    p.body(),
			Details: DetailsPrefix + string(p.cause),
		}},
	}
}

func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// unchanged is the empty reply to a message of that kind; nil for a kind that must not come after the first message.
func unchanged(request *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	reply := &extprocv3.ProcessingResponse{}
	switch request.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestBody:
		reply.Response = &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{}}
	case *extprocv3.ProcessingRequest_RequestTrailers:
		reply.Response = &extprocv3.ProcessingResponse_RequestTrailers{RequestTrailers: &extprocv3.TrailersResponse{}}
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		reply.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}
	case *extprocv3.ProcessingRequest_ResponseBody:
		reply.Response = &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{}}
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		reply.Response = &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}
	default:
		return nil
	}
	return reply
}
