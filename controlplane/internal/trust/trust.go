// Package trust says who is at the other end of a gRPC connection between parts of a cell, and what it may ask for. On one host the
// kernel tells whose process it is; between hosts its certificate tells which part it is.
package trust

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
)

// A Caller is who is at the other end.
type Caller struct {
	credentials.CommonAuthInfo
	ID      identity.ID // zero: no certificate was asked for
	refusal string      // why it may ask for nothing
}

// AuthType implements credentials.AuthInfo.
func (Caller) AuthType() string { return "part" }

// CallerOf returns who has called. Without one of this package's credentials it is nobody, and ok is false.
func CallerOf(ctx context.Context) (c Caller, ok bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, false
	}
	c, ok = p.AuthInfo.(Caller)
	return c, ok
}

// Services are who may call which service, by its full name. A service that is not here nobody may call.
type Services map[string][]identity.Role

// Options let callers have what they may ask for, and nothing else.
func (s Services) Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainStreamInterceptor(func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := s.check(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return handle(service, stream)
		}),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := s.check(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handle(ctx, request)
		}),
	}
}

func (s Services) check(ctx context.Context, method string) error {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return Allow(ctx, s[service]...)
}

// Allow refuses, with a gRPC status, callers that are of none of these roles, and those of whom nothing is known. Where no
// certificates are asked for, whoever could connect may have any role.
func Allow(ctx context.Context, roles ...identity.Role) error {
	c, ok := CallerOf(ctx)
	switch {
	case !ok:
		return status.Error(codes.PermissionDenied, "nothing is known of the other end")
	case c.refusal != "":
		return status.Error(codes.PermissionDenied, c.refusal)
	case len(roles) > 0 && c.ID == (identity.ID{}), slices.Contains(roles, c.ID.Role):
		return nil
	default:
		return status.Errorf(codes.PermissionDenied, "%s may not ask for this", c.ID)
	}
}
