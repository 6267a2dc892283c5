package slots

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func answer(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w
}

func TestAboveTheCapWaitsThenIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, "")
		release := make(chan struct{})
		h := g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		var wg sync.WaitGroup
		wg.Go(func() { answer(h) })
		synctest.Wait()
		began := time.Now()
		w := answer(h)
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "1", w.Header().Get(wire.RefusedHeader))
		require.Contains(t, w.Body.String(), `"cause":"overload"`)
		close(release)
		wg.Wait()
		requests, refused := g.Counts()
		require.EqualValues(t, 1, requests)
		require.EqualValues(t, 1, refused)
	})
}

func TestFreedSlotGoesToTheOldestWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(2, "")
		ctx := context.Background()
		require.True(t, g.acquire(ctx, time.Second))
		require.True(t, g.acquire(ctx, time.Second))
		var order []int
		var wg sync.WaitGroup
		for n := range 2 {
			wg.Go(func() {
				if g.acquire(ctx, time.Second) {
					order = append(order, n)
				}
			})
			synctest.Wait()
		}
		require.False(t, g.acquire(ctx, time.Second), "no more waiters than slots")
		g.release()
		synctest.Wait()
		g.release()
		wg.Wait()
		require.Equal(t, []int{0, 1}, order)
		require.Equal(t, 2, g.InFlight())
	})
}

// What a gate that is shut has goes on; nothing else gets in, not even what has waited.
func TestAShutGateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, "")
		require.True(t, g.acquire(t.Context(), 0))
		waiter := make(chan bool, 1)
		go func() { waiter <- g.acquire(t.Context(), time.Second) }()
		synctest.Wait()
		g.Shut()
		require.Equal(t, 1, g.InFlight())
		g.release()
		require.False(t, <-waiter)
		require.False(t, g.acquire(t.Context(), time.Minute))
		require.Zero(t, g.InFlight())
		requests, refused := g.Counts()
		require.EqualValues(t, 1, requests)
		require.EqualValues(t, 2, refused)
	})
}

func TestWaiterThatLeavesTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, "")
		require.True(t, g.acquire(context.Background(), time.Second))
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan bool)
		go func() { got <- g.acquire(ctx, time.Second) }()
		synctest.Wait()
		cancel()
		require.False(t, <-got)
		g.release()
		require.Zero(t, g.InFlight())
		require.True(t, g.acquire(context.Background(), time.Second))
	})
}

func TestCapHoldsUnderAnySequence(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(rt, "slots")
		held := rapid.SliceOfN(rapid.IntRange(0, 20), 1, 40).Draw(rt, "held_ms")
		synctest.Test(t, func(t *testing.T) {
			g := New(slots, "")
			var inside, most atomic.Int64
			h := g.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n := inside.Add(1)
				defer inside.Add(-1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				<-r.Context().Done()
			}))
			var wg sync.WaitGroup
			for _, ms := range held {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
					defer cancel()
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
				})
			}
			wg.Wait()
			require.LessOrEqual(t, most.Load(), int64(slots))
			require.Zero(t, g.InFlight())
			require.Zero(t, g.waiting.Len())
			requests, refused := g.Counts()
			require.EqualValues(t, len(held), requests+refused)
		})
	})
}

func TestChangedFiresOncePerArm(t *testing.T) {
	g := New(0, "")
	g.Arm()
	for range 10 {
		g.acquire(context.Background(), time.Second)
	}
	<-g.Changed()
	require.Empty(t, g.Changed())
	g.Arm()
	g.release()
	<-g.Changed()
}

func TestAppsCannotRefuseForThePeer(t *testing.T) {
	lower := strings.ToLower(wire.RefusedHeader) // set past Header.Set, as an app might
	for name, h := range map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"write":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"flush":  func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"none":   func(http.ResponseWriter, *http.Request) {},
	} {
		w := answer(New(1, "").Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()[lower] = []string{"1"}
			w.Header().Set(wire.RefusedHeader, "1")
			w.Header().Set("Kept", "1")
			h(w, r)
		})))
		require.Equal(t, http.Header{"Kept": {"1"}}.Get("Kept"), w.Result().Header.Get("Kept"), name)
		require.Empty(t, w.Result().Header.Values(wire.RefusedHeader), name)
		require.Empty(t, w.Result().Header[lower], name)
	}
}

func TestHeadersThatWouldEndTheTunnelAreReplaced(t *testing.T) {
	for _, c := range []struct{ size, major, want int }{
		{maxField, 2, http.StatusTeapot},
		{maxField + 1, 2, http.StatusBadGateway},
		{maxField + 1, 1, http.StatusTeapot},
	} {
		h := New(1, "").Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			w.Header().Set("Long", strings.Repeat("x", c.size))
			w.WriteHeader(http.StatusTeapot)
			n, err := w.Write([]byte("app"))
			require.NoError(t, err)
			require.Equal(t, 3, n)
		}))
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.ProtoMajor = c.major
		h.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code)
		require.Equal(t, c.want == http.StatusTeapot, w.Body.String() == "app")
		require.Equal(t, c.want == http.StatusBadGateway, strings.Contains(w.Body.String(), `"cause":"answer_invalid"`))
		require.Equal(t, c.want == http.StatusTeapot, w.Result().Header.Get("Long") != "")
	}
}

func TestTrailersThatWouldEndTheTunnelAbortTheAnswer(t *testing.T) {
	g := New(1, "")
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("app"))
		w.Header().Set(http.TrailerPrefix+"Long", strings.Repeat("x", maxField+1))
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.ProtoMajor = 2
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	require.Zero(t, g.InFlight())
}

func BenchmarkGate(b *testing.B) {
	h := New(64, "").Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

// Handlers that were written for HTTP/1 must not have their answers refused by Envoy.
func TestAnswersOverHTTP2HaveNothingOfHTTP1(t *testing.T) {
	h := New(0, "").Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "upgrade", "X-Kept"} {
			w.Header()[name] = []string{"x"}
		}
		w.Header().Set("Content-Length", "2")
		if r.URL.Path == "/204" {
			w.WriteHeader(http.StatusNoContent)
		}
		_, _ = w.Write([]byte("ok"))
	}))
	for path, want := range map[string]http.Header{
		"/":    {"X-Kept": {"x"}, "Content-Length": {"2"}},
		"/204": {"X-Kept": {"x"}},
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.ProtoMajor = 2
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Result().Header
		got.Del("Content-Type") // guessed
		require.Equal(t, want, got, path)
	}
}

func TestAnswersAreCountedByStatus(t *testing.T) {
	g := New(10, "")
	for _, h := range []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) {},
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusServiceUnavailable)
			w.WriteHeader(http.StatusOK) // too late
		},
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusInternalServerError) },
	} {
		answer(g.Wrap(h))
	}
	answers, errors := g.Answers()
	require.Equal(t, []int64{5, 2}, []int64{answers, errors})
}

// A handler that panics has answered nobody, and its version is judged by that.
func TestAPanicIsAnError(t *testing.T) {
	g := New(10, "")
	for n, write := range []bool{false, true} {
		require.Panics(t, func() {
			answer(g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if write {
					w.WriteHeader(http.StatusOK)
				}
				panic("x")
			})))
		})
		answers, errors := g.Answers()
		require.Equal(t, []int64{int64(n) + 1, 1}, []int64{answers, errors})
	}
	require.Zero(t, g.InFlight())
}

// An answer counts when it begins, so that a stream is one. A request whose client has left before got none.
func TestAnAnswerCountsWhenItBegins(t *testing.T) {
	g := New(10, "")
	begun := func() int64 { answers, _ := g.Answers(); return answers }
	answer(g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		require.Zero(t, begun())
		g.Arm()
		w.(http.Flusher).Flush()
		require.EqualValues(t, 1, begun())
		<-g.Changed()
	})))
	ctx, leave := context.WithCancel(t.Context())
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		leave()
		w.WriteHeader(http.StatusOK)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	require.EqualValues(t, 1, begun())
}
