package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
)

// The gRPC service. Its messages are JSON, by a codec of their own, so that it can share a server with protobuf services.
const (
	ServiceName = "lambdadispatch.Uplink" // relays call it
	methodName  = "Attach"
	codecName   = "lambda-dispatch-json"
)

func init() { encoding.RegisterCodec(codec{}) }

// A codec encodes messages as JSON. It validates what it decodes.
type codec struct{}

func (codec) Name() string { return codecName }

func (codec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

func (codec) Unmarshal(data []byte, v any) error {
	if len(data) > tables.MaxMessage {
		return fmt.Errorf("uplink: %d bytes, at most %d", len(data), tables.MaxMessage)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	if up, ok := v.(*Up); ok {
		up.size = len(data)
	}
	valid, ok := v.(interface{ Validate() error })
	if !ok {
		return fmt.Errorf("uplink: no message is a %T", v)
	}
	if err := valid.Validate(); err != nil {
		return fmt.Errorf("uplink: %w", err)
	}
	return nil
}

// Validate reports everything that is wrong with u.
func (u *Up) Validate() error {
	var errs []error
	if u.Observed != nil {
		errs = append(errs, u.Observed.Validate())
	}
	errs = append(errs, checkTogether("register", len(u.Register)))
	for _, r := range u.Register {
		errs = append(errs, r.Registration.Validate())
	}
	return errors.Join(errs...)
}

// Validate reports everything that is wrong with d.
func (d *Down) Validate() error {
	var errs []error
	if d.Desired != nil {
		errs = append(errs, d.Desired.Validate())
	}
	errs = append(errs, checkTogether("registered", len(d.Registered)))
	for _, r := range d.Registered {
		if r.Invocation != nil {
			errs = append(errs, r.Invocation.Validate())
		}
	}
	return errors.Join(errs...)
}

func checkTogether(field string, n int) error {
	if n > maxTogether {
		return fmt.Errorf("%s: has %d, at most %d", field, n, maxTogether)
	}
	return nil
}

var streamDesc = grpc.StreamDesc{StreamName: methodName, ServerStreams: true, ClientStreams: true, Handler: handle}

// Register serves relays on a gRPC server. The server must have credentials and options of package trust.
func (l *Leader) Register(server grpc.ServiceRegistrar) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: ServiceName, HandlerType: (*leader)(nil), Streams: []grpc.StreamDesc{streamDesc},
	}, l)
}

type leader interface {
	Serve(context.Context, Stream[Down, Up]) error
}

func handle(service any, stream grpc.ServerStream) error {
	if err := trust.Allow(stream.Context(), identity.Relay); err != nil {
		return err
	}
	err := service.(leader).Serve(stream.Context(), rpc[Down, Up]{stream})
	if _, known := status.FromError(err); known {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}

// An rpc is a stream over gRPC.
type rpc[S, R any] struct {
	stream interface {
		SendMsg(any) error
		RecvMsg(any) error
	}
}

func (r rpc[S, R]) Send(message *S) error { return r.stream.SendMsg(message) }

func (r rpc[S, R]) Recv() (*R, error) {
	message := new(R)
	if err := r.stream.RecvMsg(message); err != nil {
		return nil, err
	}
	return message, nil
}

// To returns a Dial to a control plane's address: the absolute path of a unix socket, or host:port. A host name is resolved each
// time. The credentials are those of package trust.
func To(address string, as credentials.TransportCredentials) Dial {
	return func(ctx context.Context) (Stream[Up, Down], error) {
		conn, err := grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(as), grpc.WithContextDialer(connect), grpc.WithAuthority(authority),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: maxPause, Multiplier: 1, MaxDelay: maxPause}, MinConnectTimeout: stood}))
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		stream, err := conn.NewStream(ctx, &streamDesc, "/"+ServiceName+"/"+methodName, grpc.CallContentSubtype(codecName))
		if err != nil {
			return nil, err
		}
		return rpc[Up, Down]{stream}, nil
	}
}

// authority is the authority of all control planes, whatever their address.
const authority = "control.lambda-dispatch.internal"

// connect opens a connection without a proxy.
func connect(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if filepath.IsAbs(address) {
		network = "unix"
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}
