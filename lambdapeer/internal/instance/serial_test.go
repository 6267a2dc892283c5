package instance_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/serial"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A peer says on each control stream, and in each later instance of its environment, that its app serves one request at a
// time; with one slot it does not look.
func TestAnAppThatServesOneAtATimeIsNamed(t *testing.T) {
	leaks(t)
	var turn sync.Mutex
	began := make(chan struct{}, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case began <- struct{}{}:
		default:
		}
		turn.Lock()
		defer turn.Unlock()
		time.Sleep(80 * time.Millisecond) // the app's work
	})
	relay, watch := relaytest.Start(t), serial.New()
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: handler, Watch: watch})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	found := make(chan struct{})
	go func() {
		control.Await(t, wire.KindNotice)
		close(found)
	}()
	for pending := true; pending; {
		var both sync.WaitGroup
		both.Go(func() { get(t, client, "/") })
		<-began
		time.Sleep(7 * time.Millisecond) // a pair that counts does not come together
		both.Go(func() { get(t, client, "/") })
		both.Wait()
		for len(began) > 0 {
			<-began
		}
		select {
		case <-found:
			pending = false
		default:
		}
	}
	r.cancel(nil)
	r.end(t)

	relay.Cut()
	again := relaytest.Start(t)
	next := serve(t, instance.Config{Invocation: relaytest.Invocation(2, again), Handler: handler, Watch: watch})
	first, _ := again.Welcome(t)
	require.Equal(t, wire.Message{Kind: wire.KindNotice, Notice: wire.NoticeSerialApp}, first.Await(t, wire.KindNotice))
	next.cancel(nil)
	next.end(t)
}
