package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// startHeld sends n requests to a function, and returns when the app has them all. They end when release is called, and not sooner,
// however slow the machine is: their bodies end only then.
func startHeld(t *testing.T, s *controlplanetest.Stack, n int, name string) (held *load, release func() []result) {
	t.Helper()
	held = newLoad(t, s, "/"+name+"/echo")
	var bodies []*io.PipeWriter
	for range n {
		body, feed := io.Pipe()
		bodies = append(bodies, feed)
		request, err := http.NewRequestWithContext(held.ctx, http.MethodPost, held.url, body)
		require.NoError(t, err)
		held.clients.Go(func() { held.note(send(held.client, request)) })
	}
	s.Eventually("held", func() error {
		if f := s.Function(name); f.InFlight != n || f.QueueDepth > 0 {
			return fmt.Errorf("%d are, %d wait", f.InFlight, f.QueueDepth)
		}
		return nil
	})
	return held, func() []result {
		for _, feed := range bodies {
			go func() {
				_, _ = io.WriteString(feed, "hello\n")
				_ = feed.Close()
			}()
		}
		return held.wait()
	}
}
