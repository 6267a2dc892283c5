package e2e_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

// A cable is between the control plane and Lambda's Invoke API, and can be cut.
type cable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{listener: listener, to: to}
	var all sync.WaitGroup
	all.Go(func() { c.serve(&all) })
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut()
		all.Wait()
	})
	return c
}

func (c *cable) serve(all *sync.WaitGroup) {
	for {
		near, err := c.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, near, far)
		c.mu.Unlock()
		all.Go(func() { _, _ = io.Copy(far, near) })
		all.Go(func() { _, _ = io.Copy(near, far) })
	}
}

// cut resets every connection. New ones may be made.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// The connections on which Lambda's answers are to come break: the instances serve on, nothing is invoked in their place,
// and they end when they are told to.
func TestInstancesOutliveTheConnectionsToLambda(t *testing.T) {
	t.Parallel()
	var wire *cable
	o := controlplanetest.Options{Config: func(c *config.Config) {
		wire = newCable(t, strings.TrimPrefix(c.AWS.Endpoint, "http://"))
		c.AWS.Endpoint = "http://" + wire.listener.Addr().String()
	}}
	f := siteApp(t, "web", controlplanetest.Library)
	f.Scaling.Min = 0
	o.Functions = []controlplanetest.Function{f}
	stack := controlplanetest.Start(t, o)
	s := newSite(t, stack, "web", controlplanetest.HTTP1)

	release := s.hold() // or else it would end between two requests
	process := s.process()
	wire.cut()
	for range 20 {
		require.Equal(t, process, s.process(), "the same process answers")
	}
	require.Equal(t, 1, s.Lambda.Counters("web").Started)
	require.Empty(t, s.Function("web").StartFailures)

	release()
	s.Eventually("scaled in", func() error {
		if f := s.Function("web"); f.Bill.Invocations != 1 {
			return fmt.Errorf("%d have ended", f.Bill.Invocations)
		}
		return nil
	})
	b := s.Function("web").Bill
	require.EqualValues(t, 1, b.Estimated, "no report came")
	require.Equal(t, map[string]uint64{"scale_in": 1}, s.Function("web").Ends)
	require.Positive(t, b.BilledSeconds, "by the clock")
	s.process()
	require.Equal(t, 2, s.Lambda.Counters("web").Started, "and the next one starts as ever")
}
