package contract

import (
	"context"
	"errors"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Full names of the gRPC methods. Both take and return google.protobuf.BytesValue: what comes in goes out, message by
// message.
const (
	EchoUnary  = "/lambdadispatch.test.Echo/Unary"
	EchoStream = "/lambdadispatch.test.Echo/Stream"
)

// Metadata of both methods.
const (
	FailMetadata = "app-fail"    // in the request: fail with the status code of this number, after the last answer
	SeenMetadata = "app-trailer" // in the trailers of every call: "seen"
)

// RegisterEcho serves both methods. The service is written by hand: two methods are not worth a protocol compiler.
func RegisterEcho(s grpc.ServiceRegistrar) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "lambdadispatch.test.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: echoUnary}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Stream", Handler: echoStream, ServerStreams: true, ClientStreams: true,
		}},
	}, nil)
}

func echoUnary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	message := new(wrapperspb.BytesValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, metadata.Pairs(SeenMetadata, "seen")); err != nil {
		return nil, err
	}
	return message, failure(ctx)
}

func echoStream(_ any, stream grpc.ServerStream) error {
	stream.SetTrailer(metadata.Pairs(SeenMetadata, "seen"))
	for {
		message := new(wrapperspb.BytesValue)
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return failure(stream.Context())
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

func failure(ctx context.Context) error {
	asked := metadata.ValueFromIncomingContext(ctx, FailMetadata)
	if len(asked) == 0 {
		return nil
	}
	code, err := strconv.ParseUint(asked[0], 10, 32)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%s: must be the number of a status code, got %q", FailMetadata, asked[0])
	}
	return status.Error(codes.Code(code), "failed as asked")
}

// EchoStreamDesc is what grpc.ClientConn.NewStream needs to call EchoStream.
func EchoStreamDesc() *grpc.StreamDesc {
	return &grpc.StreamDesc{StreamName: "Stream", ServerStreams: true, ClientStreams: true}
}
