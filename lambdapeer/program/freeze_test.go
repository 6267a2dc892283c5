package program

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// newBothApp speaks HTTP/1.1, and HTTP/2 with prior knowledge.
func newBothApp(t *testing.T, h http.HandlerFunc) *httptest.Server {
	app := httptest.NewUnstartedServer(h)
	app.Config.Protocols = new(http.Protocols)
	app.Config.Protocols.SetHTTP1(true)
	app.Config.Protocols.SetUnencryptedHTTP2(true)
	app.Start()
	t.Cleanup(app.Close)
	return app
}

// Any server can hear of freezes, and can tell the peer's word from a client's.
func TestAnAppHearsOfFreezesByHTTP(t *testing.T) {
	for _, protocol := range []string{"http1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			leaks(t)
			api := runtimetest.Start(t)
			heard := make(chan string, 16)
			app := newBothApp(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					heard <- fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Lambda-Dispatch-Event"), r.Header.Get("lambda_dispatch_event"))
				}
				if r.URL.Path == "/frozen" {
					w.WriteHeader(http.StatusInternalServerError) // which changes nothing
				}
			})
			start(t, map[string]string{
				apiVar: api.Address(), portVar: portOf(app), protocolVar: protocol,
				freezePathVar: "/frozen", thawPathVar: "/thawed?now=1",
			})
			for n := range 3 {
				relay := relaytest.Start(t)
				api.Invoke("x", payload(t, 5, relay), time.Now().Add(time.Minute))
				control, _ := relay.Welcome(t)
				if n > 0 {
					require.Equal(t, "POST /thawed thaw", <-heard)
				}
				req, err := http.NewRequest(http.MethodGet, "http://app/frozen", nil)
				require.NoError(t, err)
				req.Header["lambda-dispatch-event"], req.Header["lambda_dispatch_event"] = []string{"freeze"}, []string{"freeze"}
				res, err := relay.Client(t, true).Do(req)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				require.Equal(t, "GET /frozen ", <-heard, "a client cannot speak for the peer")
				control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
				require.Equal(t, wire.ReasonScaleIn, reportOf(t, api.Answer(t)).Reason)
				require.Equal(t, "POST /frozen freeze", <-heard)
			}
			api.Invoke("event", event("GET", "/events-only"), time.Now().Add(time.Minute))
			require.False(t, api.Answer(t).Error)
			require.Equal(t, "POST /thawed thaw", <-heard)
			require.Equal(t, "GET /events-only ", <-heard)
			require.Equal(t, "POST /frozen freeze", <-heard)
		})
	}
}

func TestBadPathsForFreezesAreErrors(t *testing.T) {
	bad := map[string]string{freezePathVar: "x", thawPathVar: "y", freezeTimeoutVar: "0s"}
	_, err := parseFreeze(func(name string) string { return bad[name] })
	for name := range bad {
		require.ErrorContains(t, err, name+": ")
	}
}
