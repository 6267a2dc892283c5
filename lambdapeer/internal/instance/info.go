package instance

import (
	"context"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/slots"
)

// Info is what a request's context has for its handler.
type Info struct {
	Environment string
	Gate        *slots.Gate
}

type infoKey struct{}

// NewContext returns a context that carries info.
func NewContext(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, infoKey{}, info)
}

// InfoFrom returns what NewContext put into ctx or one of its parents.
func InfoFrom(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(Info)
	return info, ok
}
