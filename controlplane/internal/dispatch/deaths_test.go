package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// get asks for a path and gets a slot.
func (w *world) get(path string) *Lease {
	w.t.Helper()
	got := make(chan result, 1)
	go func() {
		l, err := w.Acquire(w.t.Context(), admission.Request{Function: "web", Method: "GET", Path: path})
		got <- result{l, err}
	}()
	synctest.Wait()
	w.publish()
	for _, i := range w.Instances() {
		if i.State == "starting" {
			w.comesUp(i.ID)
		}
	}
	a := <-got
	require.NoError(w.t, a.err)
	return a.lease
}

// serve has the pages served one after the other for a while.
func (w *world) serve(d time.Duration, paths ...string) {
	for ; d > 0; d -= 500 * time.Millisecond {
		l := w.get(paths[int(d/(500*time.Millisecond))%len(paths)])
		time.Sleep(100 * time.Millisecond)
		l.Release()
		time.Sleep(400 * time.Millisecond)
	}
}

// A route that kills environments is named, whether its request ends before the relay hears of the death or after; and only it is.
func TestARouteThatKillsEnvironmentsIsNamed(t *testing.T) {
	for name, hears := range map[string]func(w *world, id string, release func()){
		"Envoy first": func(w *world, id string, release func()) {
			release()
			time.Sleep(100 * time.Millisecond)
			w.Lost(id, errGone)
		},
		"the relay first": func(w *world, id string, release func()) { w.Lost(id, errGone); time.Sleep(time.Second); release() },
		"at last":         func(w *world, id string, release func()) { w.Lost(id, errGone); w.t.Cleanup(release) },
		"Lambda's answer": func(_ *world, _ string, release func()) { release(); time.Sleep(50 * time.Millisecond) },
		"its peer says so": func(w *world, id string, release func()) {
			w.Draining(id, "app_exited")
			release()
			time.Sleep(5 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency, f.Scaling.Min = 10, 1 })
				deaths := 0
				for ; len(w.function().Killers) == 0; deaths++ {
					require.Less(t, deaths, 12)
					w.serve(time.Minute, "/", "/items/42", "/about")
					page, killer := w.get("/"), w.get("/reports/2026/pdf?token=secret")
					id := killer.on.ID
					time.Sleep(300 * time.Millisecond)
					hears(w, id, func() { page.Release(); killer.Release() })
					w.end(id, provider.End{Cause: scaler.Crashed, Detail: "signal: killed"})
					require.Equal(t, "in flight: GET /, GET /reports/{id}/pdf; signal: killed", w.Recent().Failures[0].Detail)
				}
				got := w.function().Killers[0]
				require.Equal(t, "GET /reports/{id}/pdf", got.Route)
				require.Equal(t, deaths, got.Deaths)
				require.Equal(t, deaths, got.Of)
				require.Equal(t, deaths, got.Others, "the page, each time")
				require.Len(t, w.function().Killers, 1)
				warning := w.warnings()[operator.KillsEnvironments]
				require.Contains(t, warning, "GET /reports/{id}/pdf kills environments")
				require.NotContains(t, warning, "secret")

				time.Sleep(24 * time.Hour)
				require.Empty(t, w.function().Killers)
				require.NotContains(t, w.warnings(), operator.KillsEnvironments)
			})
		})
	}
}

// warnings are the details of the function's warnings by word.
func (w *world) warnings() map[string]string {
	out := map[string]string{}
	for _, warning := range w.function().Warnings {
		out[warning.Word] = warning.Detail
	}
	return out
}

var errGone = errors.New("gone")

// An environment that ends in another way than by a death speaks against nobody.
func TestEndsThatAreNoDeathsNameNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		for _, cause := range []scaler.Cause{"", scaler.TimedOut, scaler.FunctionError} {
			for range 10 {
				w.serve(10*time.Second, "/")
				l := w.get("/slow")
				id := l.on.ID
				w.Down(id, nil, errGone)
				w.end(id, provider.End{Cause: cause})
				l.Release()
			}
		}
		require.Empty(t, w.function().Killers)
	})
}
