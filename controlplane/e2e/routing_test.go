package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// Who gets a request that no route matches, or that one of a function that is switched off does.
const (
	nobody   = "nobody"
	disabled = "disabled"
)

// Scenario 37, without aliases: functions by host, path, header and listener. The more specific route wins, in whichever
// order they are configured.
func TestRouting(t *testing.T) {
	t.Parallel()
	stack := startRoutes(t)
	s := site{Stack: stack, client: controlplanetest.Client(t, controlplanetest.HTTP1), t: t}
	canary := http.Header{"X-Version": {"canary"}}
	cases := []struct {
		host, target string
		header       http.Header
		want, seen   string // the function, and the target as it sees it
	}{
		{host: "a.test", target: "/x?y=1", want: "by-host", seen: "/x?y=1"},
		{host: "A.Test", target: "/x", want: "by-host", seen: "/x"},
		{host: "a.test:8080", target: "/x", want: "by-host", seen: "/x"},
		{host: "a.test.", target: "/x", want: nobody},
		{host: "b.test", target: "/x", want: nobody},
		{host: "xa.test", target: "/x", want: nobody},

		{host: "one.w.test", target: "/x", want: "by-wildcard", seen: "/x"},
		{host: "one.two.w.test", target: "/x", want: "by-wildcard", seen: "/x"},
		{host: "special.w.test", target: "/x", want: "by-host", seen: "/x"},
		{host: "w.test", target: "/x", want: nobody},

		{host: "any.test", target: "/p/x", want: "by-path", seen: "/x"},
		{host: "any.test", target: "/p", want: "by-path", seen: "/"},
		{host: "any.test", target: "/p?q", want: "by-path", seen: "/?q"},
		{host: "any.test", target: "/p/deep/x", want: "by-wildcard", seen: "/p/deep/x"},
		{host: "any.test", target: "/px", want: nobody},
		{host: "any.test", target: "/P/x", want: nobody},
		{host: "any.test", target: "/", want: nobody},
		{host: "a.test", target: "/p/x", want: "by-host", seen: "/p/x"}, // the host is more specific than the path

		{host: "any.test", target: "/p/x", header: canary, want: "by-header", seen: "/p/x"},
		{host: "any.test", target: "/p/x", header: http.Header{"X-Version": {"Canary"}}, want: "by-path", seen: "/x"},
		{host: "any.test", target: "/p/x", header: http.Header{"X-Version": {"canary2"}}, want: "by-path", seen: "/x"},
		{host: "any.test", target: "/q/x", header: canary, want: nobody},

		{host: "any.test", target: "/off/x", want: disabled},
		{host: "any.test", target: "/off", header: canary, want: disabled},
		{host: "any.test", target: "/inner/x", want: nobody},
	}
	for _, c := range cases {
		what := c.host + c.target
		r := s.request(http.MethodGet, c.target, nil)
		r.Host = c.host
		for name, values := range c.header {
			r.Header[name] = values
		}
		s.requireRouted(r, what, c.want, c.seen)
	}
	s.Front = innerListener(s)
	s.requireRouted(s.request(http.MethodGet, "/inner/x", nil), "inner listener", "by-listener", "/inner/x")
	s.requireRouted(s.request(http.MethodGet, "/p/x", nil), "inner listener", "by-path", "/x")
	require.Zero(t, s.Function("off").Starts)
}

func startRoutes(t *testing.T) *controlplanetest.Stack {
	app := func(name string, routes ...config.Route) controlplanetest.Function {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Routes = routes
		f.Scaling.Max = 1
		return f
	}
	version := &config.HeaderMatch{Name: "X-Version", Value: "canary"}
	off := app("off", config.Route{Path: "/off"})
	off.Disabled = true
	return controlplanetest.Start(t, controlplanetest.Options{
		Functions: []controlplanetest.Function{
			app("by-path", config.Route{Path: "/p", StripPrefix: true}),
			app("by-header", config.Route{Path: "/p", Header: version}),
			app("by-wildcard", config.Route{Host: "*.w.test"}, config.Route{Path: "/p/deep"}),
			app("by-host", config.Route{Host: "a.test"}, config.Route{Host: "special.w.test"}),
			app("by-listener", config.Route{Listener: "inner", Path: "/inner"}),
			off,
		},
		Config: func(c *config.Config) {
			inner := config.DefaultListener()
			inner.Name, inner.Address = "inner", "127.0.0.1:0"
			c.Listeners = append(c.Listeners, inner)
		},
	})
}

// innerListener is the address of the second listener.
func innerListener(s site) string {
	s.t.Helper()
	listeners, err := s.Envoy.Listeners(context.WithoutCancel(s.t.Context()))
	require.NoError(s.t, err)
	return listeners["inner"]
}

// requireRouted fails the test unless the request reaches the function as it should look to it.
func (s site) requireRouted(r *http.Request, what, function, target string) {
	s.t.Helper()
	r.Header.Set(contract.RouteHeader, "inspect")
	a := s.do(r)
	switch function {
	case nobody:
		require.Equal(s.t, http.StatusNotFound, a.StatusCode, "%s: %s", what, a.body)
		require.Equal(s.t, "no_route", a.cause(s), what)
	case disabled:
		require.Equal(s.t, http.StatusNotFound, a.StatusCode, "%s: %s", what, a.body)
		require.Equal(s.t, "disabled", a.cause(s), what)
	default:
		require.Equal(s.t, http.StatusOK, a.StatusCode, "%s: %s", what, a.body)
		require.Equal(s.t, function, s.functionOf(a), what)
		require.Equal(s.t, target, a.inspection(s.t).RequestURI, what)
	}
}

// functionOf is the function whose environment answered; empty if none of lambdalocal's did.
func (s site) functionOf(a answer) string {
	stream := a.Header.Get(contract.EnvironmentHeader) // of the log: ends with the environment's id
	for _, e := range s.Lambda.Environments() {
		if strings.HasSuffix(stream, e.ID) {
			return e.Function
		}
	}
	return ""
}
