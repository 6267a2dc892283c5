package program

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
)

// Variables that say how the app is told about freezes.
const (
	freezePathVar    = "LAMBDA_DISPATCH_PEER_FREEZE_PATH"
	thawPathVar      = "LAMBDA_DISPATCH_PEER_THAW_PATH"
	freezeTimeoutVar = "LAMBDA_DISPATCH_PEER_FREEZE_TIMEOUT"
)

// freeze says at which paths the app is told about freezes.
type freeze struct {
	freezePath, thawPath string // empty: nowhere
	limit                time.Duration
}

func parseFreeze(getenv func(string) string) (freeze, error) {
	f := freeze{freezePath: getenv(freezePathVar), thawPath: getenv(thawPathVar)}
	var errs [3]error
	for n, name := range []string{freezePathVar, thawPathVar} {
		if path := getenv(name); path != "" && !strings.HasPrefix(path, "/") {
			errs[n] = fmt.Errorf("%s: %q does not begin with /", name, path)
		}
	}
	f.limit, errs[2] = parseDuration(freezeTimeoutVar, getenv(freezeTimeoutVar), lifecycle.DefaultHookLimit)
	return f, errors.Join(errs[:]...)
}

// hooks tell the app at these paths.
func (f freeze) hooks(p *proxy.Proxy) lifecycle.Hooks {
	tell := func(path, word string) func(context.Context) error {
		if path == "" {
			return nil
		}
		return func(ctx context.Context) error { return p.Tell(ctx, path, word) }
	}
	return lifecycle.Hooks{Freeze: tell(f.freezePath, "freeze"), Thaw: tell(f.thawPath, "thaw"), Limit: f.limit}
}
