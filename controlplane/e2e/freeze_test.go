package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// A database answers each line with one, and ends connections that are idle for idleLimit, as databases and what stands
// before them do.
type database struct {
	net.Listener
	ended sync.WaitGroup
}

const idleLimit = 300 * time.Millisecond

func startDatabase(t *testing.T) *database {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &database{Listener: l}
	d.ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			d.ended.Go(func() { serveQueries(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		d.ended.Wait()
	})
	return d
}

func serveQueries(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewReader(conn); ; {
		_ = conn.SetReadDeadline(time.Now().Add(idleLimit))
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		if _, err := io.WriteString(conn, "answer\n"); err != nil {
			return
		}
	}
}

// query asks the database through the app.
func (s site) query(d *database) answer {
	return s.do(s.request(http.MethodGet, "/query?address="+d.Addr().String(), nil))
}

// An environment that was frozen comes back with connections whose other ends have gone. An app that is told before can
// close them, by HTTP or in the Go library; one that is not told fails its first request.
func TestAPoolThatHearsOfFreezesSurvivesThem(t *testing.T) {
	t.Parallel()
	var o controlplanetest.Options
	for _, peer := range controlplanetest.Peers {
		f := siteApp(t, string(peer), peer)
		f.Local.Env["LAMBDA_DISPATCH_PEER_FREEZE_PATH"] = contract.FreezePath // the binary's
		f.Local.Env["LAMBDA_DISPATCH_PEER_THAW_PATH"] = contract.FreezePath
		o.Functions = append(o.Functions, f)
	}
	deaf := siteApp(t, "deaf", controlplanetest.Binary)
	o.Functions = append(o.Functions, deaf)
	for n := range o.Functions {
		o.Functions[n].Scaling.Min, o.Functions[n].Scaling.Max = 0, 1 // a start beside one that is slow would need another environment
	}
	events := keepJournal(t, &o)
	stack := controlplanetest.Start(t, o)
	d := startDatabase(t)
	const rounds = 3
	for _, name := range []string{string(controlplanetest.Library), string(controlplanetest.Binary), "deaf"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, stack, name, controlplanetest.HTTP1)
			before := len(events.of(t, contract.FreezeKey))
			for round := range rounds {
				a := s.query(d)
				if name == "deaf" && round%2 == 1 { // its pool has only good connections again after that
					require.Equal(t, http.StatusInternalServerError, a.StatusCode, "or else this test shows nothing")
				} else {
					require.Equal(t, http.StatusOK, a.StatusCode, a.body)
				}
				eventuallyFrozen(stack, name)
				eventuallyPassed(s.Stack, 2*idleLimit)
			}
			require.Equal(t, 1, stack.Lambda.Counters(name).Cold, "one environment, frozen again and again")
			heard := events.names(t, contract.FreezeKey)[before:]
			if name == "deaf" {
				require.Empty(t, heard)
				return
			}
			require.Len(t, heard, 2*rounds-1)
			for n, what := range heard {
				require.Equal(t, []contract.Name{contract.Frozen, contract.Thawed}[n%2], what, fmt.Sprint(heard))
			}
		})
	}
}

// eventuallyPassed waits for time to pass, which is what happens to frozen environments, and to limits that must not strike.
func eventuallyPassed(s *controlplanetest.Stack, d time.Duration) {
	began := time.Now()
	s.Eventually("later", func() error {
		if time.Since(began) < d {
			return fmt.Errorf("it is too early")
		}
		return nil
	})
}
