// Package extproc is Envoy's side of admission: an ext_proc server that holds one stream per request, from before the
// request has a slot until the request has ended, however it ends. Protobuf stops here.
package extproc

import (
	"context"
	"errors"
	"runtime/debug"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// What Envoy's configuration and this server must agree on.
const (
	// FunctionKey is the stream's initial metadata that names the function. The route sets it; a client cannot.
	FunctionKey = "lambda-dispatch-function"
	// BeganKey is the stream's initial metadata that says when Envoy got a request, in microseconds of Unix time.
	BeganKey = "lambda-dispatch-began"
	// ArrivedKey says the same, in its place, of a request that an instance has refused. Only the route of such requests sets it.
	// Their header wire.RefusedHeader names the instance.
	ArrivedKey = "lambda-dispatch-arrived"
	// TellKey is set where Envoy is to be told what a request waited for, in the metadata below, and says for whom: TellLogs,
	// TellClients, TellBoth.
	TellKey     = "lambda-dispatch-tell"
	TellLogs    = "logs"
	TellClients = "clients"
	TellBoth    = "both"
	// TimingKey has what the request itself says of wanting a Server-Timing, TimingWordKey what it must say to get one.
	TimingKey     = "lambda-dispatch-timing"
	TimingWordKey = "lambda-dispatch-timing-word"
	// MetadataNamespace and EndpointKey are where the reply names the endpoint in the request's dynamic metadata.
	MetadataNamespace = "lambda-dispatch"
	EndpointKey       = "endpoint"
	// InstanceKey, QueueKey (milliseconds, a number) and StartKey (none, warm, cold) are there where TellKey is, of requests
	// that are let through; QueueKey also of those that are refused after a wait. ServerTimingKey is a header's value.
	InstanceKey     = "instance"
	QueueKey        = "queue_ms"
	StartKey        = "start"
	ServerTimingKey = "server_timing"
	// DetailsPrefix begins the details of each refusal, which Envoy keeps: by them it knows our answers from its own.
	DetailsPrefix = "lambda_dispatch_"
)

// A Lease is the right to use one slot until it is released.
type Lease interface {
	// Endpoint is the path of the unix socket that the request goes to.
	Endpoint() string
	// Wait is what the request waited for.
	Wait() admission.Wait
	// Release gives the slot back. A second call does nothing.
	Release()
}

// An Acquirer hands out leases of type L.
type Acquirer[L Lease] interface {
	// Acquire waits for a slot of the request's function. It gives up when ctx ends or when its queue does; the error is then an
	// *admission.Error, and no slot is held.
	Acquire(ctx context.Context, r admission.Request) (L, error)
}

// A Witness hears how the requests were admitted that Envoy traces. Traceparent (W3C Trace Context) names the span that asked. It must
// not block.
type Witness interface {
	Admitted(traceparent string, r admission.Request, w admission.Wait)
	Refused(traceparent string, r admission.Request, e *admission.Error)
}

// A Server implements Envoy's ExternalProcessor service. Everything that a stream holds is released when it ends.
type Server struct {
	extprocv3.UnimplementedExternalProcessorServer
	acquire func(ctx context.Context, r admission.Request) (Lease, error)
	log     logrus.FieldLogger
	replies replies // to routes that want to know the endpoint alone
	told    told    // to those that want to know more, of requests that did not wait
	witness Witness // nil: nobody
}

// Witnessed tells w of each request that is traced. It is called before the first request.
func (s *Server) Witnessed(w Witness) *Server {
	s.witness = w
	return s
}

// New returns a server that asks acquirer about every request.
func New[L Lease](acquirer Acquirer[L], log logrus.FieldLogger) *Server {
	acquire := func(ctx context.Context, r admission.Request) (Lease, error) {
		lease, err := acquirer.Acquire(ctx, r)
		if err != nil {
			return nil, err
		}
		return lease, nil
	}
	return &Server{acquire: acquire, log: log.WithField("component", "extproc")}
}

// Process serves one request: it returns when the request has ended. A stream that ends without an answer would let its
// request pass, so every way out before the answer is an immediate response or an error status.
func (s *Server) Process(raw extprocv3.ExternalProcessor_ProcessServer) (err error) {
	e := exchange{stream: raw}
	defer func() {
		if cause := recover(); cause != nil {
			err = s.panicked(&e, cause)
		}
	}()
	return s.serve(&e)
}

// serve runs the exchange: first message, admission, answer, wait for the end.
func (s *Server) serve(e *exchange) error {
	request, err := e.first()
	if err != nil {
		return s.refuse(e, request, err)
	}
	lease, err := s.acquire(e.stream.Context(), request)
	if err != nil {
		return s.refuse(e, request, err)
	}
	defer lease.Release()
	wishes := wishesOf(e.stream.Context())
	if err := e.dispatch(s.reply(wishes, lease)); err != nil {
		return err
	}
	if wishes.tell && s.witness != nil {
		s.witness.Admitted(said(e.stream.Context(), traceparent), request, lease.Wait())
	}
	return e.untilEnd()
}

// reply is the answer that lets a request through.
func (s *Server) reply(w wishes, lease Lease) *extprocv3.ProcessingResponse {
	if !w.any() {
		return s.replies.to(lease.Endpoint())
	}
	wait := lease.Wait()
	if wait.Queue == 0 && !w.timing {
		return s.told.to(lease.Endpoint(), wait)
	}
	return dispatched(w.metadata(lease.Endpoint(), wait))
}

// refuse answers the request with what err means to a client.
func (s *Server) refuse(e *exchange, request admission.Request, err error) error {
	if ctx := e.stream.Context(); ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err() // nobody is there to be told
	}
	if errors.Is(err, admission.ErrElsewhere) {
		return status.Error(codes.Unavailable, err.Error()) // Envoy asks again
	}
	var refused *admission.Error
	if !errors.As(err, &refused) {
		s.log.WithError(err).Error("request refused for an unexpected reason")
		refused = admission.Reject(admission.Internal)
	}
	if refused.Cause == admission.Malformed {
		s.log.WithError(err).Error("Envoy broke the protocol: is its configuration ours?")
	}
	if wishesOf(e.stream.Context()).tell && s.witness != nil {
		s.witness.Refused(said(e.stream.Context(), traceparent), request, refused)
	}
	return e.refuse(refused)
}

// panicked turns a bug into a failed request; the process and the other requests go on.
func (s *Server) panicked(e *exchange, cause any) error {
	s.log.WithFields(logrus.Fields{"panic": cause, "stack": string(debug.Stack())}).Error("request failed by a bug")
	if e.answered {
		return status.Error(codes.Internal, "internal error")
	}
	return e.refuse(admission.Reject(admission.Internal))
}
