package serial

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An app takes a request's path, and the time that one of its kind takes, alone.
type app func(path string, work time.Duration)

// oneAtATime is a server with one thread.
func oneAtATime() app {
	busy := make(chan struct{}, 1) // time does not pass in a bubble while somebody waits for a mutex
	return func(_ string, work time.Duration) {
		busy <- struct{}{}
		defer func() { <-busy }()
		time.Sleep(work)
	}
}

func together() app { return func(_ string, work time.Duration) { time.Sleep(work) } }

// sharing is one processor that all requests share fairly, in turns of a millisecond.
func sharing() app {
	turn := make(chan struct{}, 1)
	return func(_ string, work time.Duration) {
		for left := work; left > 0; left -= time.Millisecond {
			turn <- struct{}{}
			time.Sleep(time.Millisecond)
			<-turn
		}
	}
}

// perPath serves one at a time of each path, and several paths together.
func perPath() app {
	var mu sync.Mutex
	paths := map[string]app{}
	return func(path string, work time.Duration) {
		mu.Lock()
		if paths[path] == nil {
			paths[path] = oneAtATime()
		}
		serve := paths[path]
		mu.Unlock()
		serve(path, work)
	}
}

// A load is who asks: how long until the next request, for what, and how long that takes alone.
type load func(r *rand.Rand) (wait time.Duration, path string, work time.Duration)

func poisson(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(mean))
}

// found runs n requests of the load against the app and tells whether it is found to serve one at a time.
func found(t *testing.T, seed uint64, n int, newApp func() app, next load) (yes bool, after int) {
	return foundBy(t, New, seed, n, newApp, next)
}

func foundBy(t *testing.T, newWatch func() *Watch, seed uint64, n int, newApp func() app, next load) (yes bool, after int) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 7))
		w, serve := newWatch(), newApp()
		var all sync.WaitGroup
		for i := range n {
			wait, path, work := next(r)
			time.Sleep(wait)
			all.Go(func() {
				q := w.Begin(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
				serve(path, work)
				q.Answered()
				q.Ended(false)
			})
			select {
			case <-w.Found():
				if !yes {
					yes, after = true, i
				}
			default:
			}
		}
		all.Wait()
		select {
		case <-w.Found():
			yes = true
		default:
		}
	})
	return yes, after
}

func fixed(mean, work time.Duration) load {
	return func(r *rand.Rand) (time.Duration, string, time.Duration) { return poisson(r, mean), "/items/7", work }
}

func varied(mean, work time.Duration) load {
	return func(r *rand.Rand) (time.Duration, string, time.Duration) {
		return poisson(r, mean), fmt.Sprint("/items/", r.IntN(1000)), 10*time.Millisecond + poisson(r, work)
	}
}

func TestAnAppThatServesOneAtATimeIsFound(t *testing.T) {
	for name, next := range map[string]load{
		"fixed, half busy": fixed(200*time.Millisecond, 100*time.Millisecond),
		"fixed, seldom":    fixed(time.Second, 100*time.Millisecond),
		"slow ones":        fixed(4*time.Second, 2*time.Second),
		"jitter, half busy": func(r *rand.Rand) (time.Duration, string, time.Duration) {
			return poisson(r, 200*time.Millisecond), "/", time.Duration(90+r.IntN(20)) * time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(8) {
				yes, after := found(t, seed, 2000, oneAtATime, next)
				require.True(t, yes, "seed %d", seed)
				require.Less(t, after, 2000)
			}
		})
	}
}

// inTurn are requests of one kind that a page asks for, always in that order: they take so long.
func inTurn(times ...time.Duration) load {
	n := -1
	return func(r *rand.Rand) (time.Duration, string, time.Duration) {
		wait := 10 * time.Millisecond
		if n++; n%len(times) == 0 {
			wait = time.Second + poisson(r, time.Second)
		}
		return wait, "/graphql", times[n%len(times)]
	}
}

// A false alarm sends somebody to look for what is not there: none in thousands of requests of each kind.
func TestAnAppThatServesTogetherIsNotFound(t *testing.T) {
	page := func(r *rand.Rand) (time.Duration, string, time.Duration) { // a fast answer and a slow one, always together
		if r.IntN(2) == 0 {
			return 2 * time.Second, "/page", 40 * time.Millisecond
		}
		return time.Millisecond, "/api", 200 * time.Millisecond
	}
	for name, tt := range map[string]struct {
		app  func() app
		next load
	}{
		"fixed":          {together, fixed(100*time.Millisecond, 100*time.Millisecond)},
		"fixed, seldom":  {together, fixed(time.Second, 100*time.Millisecond)},
		"varied":         {together, varied(100*time.Millisecond, 100*time.Millisecond)},
		"varied, seldom": {together, varied(time.Second, 100*time.Millisecond)},
		"wildly varied":  {together, varied(time.Second, 5*time.Second)},
		"one processor":  {sharing, fixed(200*time.Millisecond, 50*time.Millisecond)},
		"pages":          {together, page},
		"two of a kind":  {together, inTurn(40*time.Millisecond, 200*time.Millisecond)},
		"three of one":   {together, inTurn(30*time.Millisecond, 300*time.Millisecond, 90*time.Millisecond)},
		"too short":      {oneAtATime, fixed(10*time.Millisecond, 5*time.Millisecond)},
		"never two": {oneAtATime, func(*rand.Rand) (time.Duration, string, time.Duration) {
			return time.Second, "/", 500 * time.Millisecond
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(8) {
				yes, _ := found(t, seed, 2000, tt.app, tt.next)
				require.False(t, yes, "seed %d", seed)
			}
		})
	}
}

// times are how long requests take alone.
var times = map[string]func(r *rand.Rand) time.Duration{
	"fixed":     func(*rand.Rand) time.Duration { return 100 * time.Millisecond },
	"by half":   func(r *rand.Rand) time.Duration { return time.Duration(50+r.IntN(100)) * time.Millisecond },
	"exp":       func(r *rand.Rand) time.Duration { return 5*time.Millisecond + poisson(r, 95*time.Millisecond) },
	"lognormal": func(r *rand.Rand) time.Duration { return time.Duration(73e6 * math.Exp(0.8*r.NormFloat64())) },
	"pareto":    func(r *rand.Rand) time.Duration { return time.Duration(35e6 * math.Pow(1-r.Float64(), -1/1.5)) },
	"two kinds": func(r *rand.Rand) time.Duration {
		if r.IntN(5) == 0 {
			return 400 * time.Millisecond
		}
		return 25 * time.Millisecond
	},
}

func at(mean time.Duration, times func(*rand.Rand) time.Duration) load {
	return func(r *rand.Rand) (time.Duration, string, time.Duration) { return poisson(r, mean), "/", times(r) }
}

// bursts are eight requests within moments, again and again.
func bursts(times func(*rand.Rand) time.Duration) load {
	n := 0
	return func(r *rand.Rand) (time.Duration, string, time.Duration) {
		if n++; n%8 == 0 {
			return time.Second + poisson(r, time.Second), "/", times(r)
		}
		return poisson(r, 8*time.Millisecond), "/", times(r)
	}
}

// An app that serves one at a time is found, soon, however its times vary.
func TestAnAppWhoseTimesVaryIsFound(t *testing.T) {
	for name, times := range times {
		for _, mean := range []time.Duration{333 * time.Millisecond, 200 * time.Millisecond, 143 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " each ", mean), func(t *testing.T) {
				for seed := range uint64(4) {
					yes, after := found(t, seed, 2500, oneAtATime, at(mean, times))
					require.True(t, yes, "seed %d", seed)
					t.Logf("after %d", after)
				}
			})
		}
	}
}

// turns are processors, or a lock on the interpreter, of which each request gets turns.
func turns(n int, turn time.Duration) func() app {
	return func() app {
		free := make(chan struct{}, n)
		return func(_ string, work time.Duration) {
			for left := work; left > 0; left -= turn {
				free <- struct{}{}
				time.Sleep(min(turn, left))
				<-free
			}
		}
	}
}

// eventLoop computes a part of the work at its beginning and another at its end, one request at a time, and waits in between.
func eventLoop(part float64) func() app {
	return func() app {
		loop := make(chan struct{}, 1)
		return func(_ string, work time.Duration) {
			computes := time.Duration(part * float64(work))
			for _, wait := range []time.Duration{work - computes, 0} {
				loop <- struct{}{}
				time.Sleep(computes / 2)
				<-loop
				time.Sleep(wait)
			}
		}
	}
}

// pausing stands still now and then, with all that it serves.
func pausing(pause, every time.Duration) func() app {
	return func() app {
		start := time.Now()
		return func(_ string, work time.Duration) {
			for left := work; left > 0; left -= 5 * time.Millisecond {
				if at := time.Since(start) % every; at < pause {
					time.Sleep(pause - at)
				}
				time.Sleep(min(left, 5*time.Millisecond))
			}
		}
	}
}

// An app that serves together is not found, however its times vary and whatever its requests share.
func TestAnAppThatServesTogetherIsNotFoundWhateverItShares(t *testing.T) {
	for name, newApp := range map[string]func() app{
		"nothing": together, "two workers": workers(2), "three workers": workers(3), "a processor": turns(1, 2*time.Millisecond),
		"an interpreter": turns(1, 5*time.Millisecond), "two processors": turns(2, 2*time.Millisecond), "a loop": eventLoop(0.1), "a busy loop": eventLoop(0.3),
		"short pauses": pausing(20*time.Millisecond, 201*time.Millisecond), "long pauses": pausing(300*time.Millisecond, 3001*time.Millisecond),
	} {
		for kind, times := range times {
			t.Run(name+", "+kind, func(t *testing.T) {
				for seed := range uint64(2) {
					for _, next := range []load{at(333*time.Millisecond, times), at(143*time.Millisecond, times), bursts(times)} {
						yes, after := found(t, seed, 800, newApp, next)
						require.False(t, yes, "seed %d, after %d", seed, after)
					}
				}
			})
		}
	}
}

// workers is a server that serves n at a time.
func workers(n int) func() app {
	return func() app {
		free := make(chan struct{}, n)
		return func(_ string, work time.Duration) {
			free <- struct{}{}
			defer func() { <-free }()
			time.Sleep(work)
		}
	}
}

// underClients tells whether the app is found while that many clients ask again at once, or after a while.
func underClients(t *testing.T, seed uint64, clients int, pause, work, jitter time.Duration, newApp func() app) (yes bool) {
	synctest.Test(t, func(t *testing.T) {
		w, serve := New(), newApp()
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(client)))
				for range 150 {
					time.Sleep(time.Millisecond + time.Duration(r.Float64()*float64(pause)))
					q := w.Begin(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}})
					serve("/", work+time.Duration(r.Float64()*float64(jitter)))
					q.Answered()
					q.Ended(false)
				}
			})
		}
		all.Wait()
		select {
		case <-w.Found():
			yes = true
		default:
		}
	})
	return yes
}

// Clients that ask again at once leave nothing to come alone, but for the first one.
func TestAnAppThatServesOneAtATimeIsFoundUnderLoad(t *testing.T) {
	for name, found := range map[string]func(seed uint64) bool{
		"three": func(s uint64) bool {
			return underClients(t, s, 3, 0, 50*time.Millisecond, 5*time.Millisecond, oneAtATime)
		},
		"four with pauses": func(s uint64) bool {
			return underClients(t, s, 4, 100*time.Millisecond, 100*time.Millisecond, 5*time.Millisecond, oneAtATime)
		},
		"ten": func(s uint64) bool {
			return underClients(t, s, 10, 0, 100*time.Millisecond, 10*time.Millisecond, oneAtATime)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(8) {
				require.True(t, found(seed), "seed %d", seed)
			}
		})
	}
}

func TestAnAppThatServesTogetherIsNotFoundUnderLoad(t *testing.T) {
	for name, newApp := range map[string]func() app{
		"together": together, "two workers": workers(2), "three workers": workers(3), "one processor": sharing,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				for _, clients := range []int{3, 10} {
					for _, pause := range []time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond} {
						for _, jitter := range []time.Duration{0, 20 * time.Millisecond} {
							require.False(t, underClients(t, seed, clients, pause, 50*time.Millisecond, jitter, newApp),
								"seed %d, %d clients, pauses of %v, jitter %v", seed, clients, pause, jitter)
						}
					}
				}
			}
		})
	}
}

// quota is a processor that runs for so long in each tenth of a second, as that of a small environment.
func quota(run time.Duration) func() app {
	return func() app {
		free, start := make(chan struct{}, 1), time.Now()
		return func(_ string, work time.Duration) {
			for left := work; left > 0; left -= 3 * time.Millisecond {
				free <- struct{}{}
				if at := time.Since(start) % (100 * time.Millisecond); at >= run {
					time.Sleep(100*time.Millisecond - at)
				}
				time.Sleep(min(left, 3*time.Millisecond))
				<-free
			}
		}
	}
}

// Where a processor stands still most of the time, requests that it serves together end a turn apart.
func TestAnAppWithASmallShareOfAProcessor(t *testing.T) {
	for _, work := range []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond} {
		for seed := range uint64(6) {
			yes, _ := foundBy(t, small, seed, 1500, quota(7*time.Millisecond), fixed(333*time.Millisecond, work))
			require.False(t, yes, "%v, seed %d", work, seed)
		}
	}
	yes, _ := foundBy(t, small, 1, 1500, oneAtATime, fixed(500*time.Millisecond, 300*time.Millisecond))
	require.True(t, yes)
}

func small() *Watch {
	w := New()
	w.Small()
	return w
}

// A lock on something that all requests of a kind need is found as well: it serves those one at a time.
func TestOneLockForAKindIsFound(t *testing.T) {
	yes, _ := found(t, 1, 2000, perPath, fixed(200*time.Millisecond, 100*time.Millisecond))
	require.True(t, yes)
}

// Requests that their clients left, and apps that stream, are no evidence.
func TestWhatSaysNothing(t *testing.T) {
	for name, end := range map[string]func(a, b *Request){
		"cut first": func(a, b *Request) {
			time.Sleep(100 * time.Millisecond)
			a.Ended(true)
			time.Sleep(100 * time.Millisecond)
			b.Ended(false)
		},
		"cut second": func(a, b *Request) {
			time.Sleep(100 * time.Millisecond)
			a.Ended(false)
			time.Sleep(100 * time.Millisecond)
			b.Ended(true)
		},
		"the second answers first": func(a, b *Request) {
			time.Sleep(50 * time.Millisecond)
			b.Answered()
			time.Sleep(50 * time.Millisecond)
			a.Ended(false)
			time.Sleep(100 * time.Millisecond)
			b.Ended(false)
		},
		"the second is first": func(a, b *Request) {
			time.Sleep(50 * time.Millisecond)
			b.Ended(false)
			a.Ended(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New()
				request := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}}
				for range 5 * enough {
					a := w.Begin(request)
					time.Sleep(apart)
					b := w.Begin(request)
					end(a, b)
				}
				require.Zero(t, w.score)
				require.Zero(t, w.inFlight)
			})
		})
	}
}

// Requests that come together reach the app in any order.
func TestRequestsThatComeTogetherSayNothing(t *testing.T) {
	w := New()
	request := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}}
	a, b := w.Begin(request), w.Begin(request)
	b.Answered()
	b.Ended(false)
	a.Ended(false)
	require.Zero(t, w.against+w.score)
}

func TestNobodyLooksAnyMore(t *testing.T) {
	w := New()
	w.against = doubts - 1
	w.mu.Lock()
	w.contradict()
	w.mu.Unlock()
	require.Nil(t, w.Begin(&http.Request{URL: &url.URL{Path: "/"}}))
	var none *Watch
	q := none.Begin(nil)
	q.Answered()
	q.Ended(false)
	require.Nil(t, none.Found())
}

func TestKinds(t *testing.T) {
	kind := func(method, path string) string {
		return kindOf(&http.Request{Method: method, URL: &url.URL{Path: path}})
	}
	require.Equal(t, kind("GET", "/items/7"), kind("GET", "/items/12345"))
	require.NotEqual(t, kind("GET", "/items/7"), kind("GET", "/items"))
	require.NotEqual(t, kind("GET", "/items"), kind("POST", "/items"))
	asked := func(query string, length int64) string {
		return kindOf(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/graphql", RawQuery: query}, ContentLength: length})
	}
	require.Equal(t, asked("id=1&all", 100), asked("id=2&all", 90))
	require.NotEqual(t, asked("id=1", 100), asked("all", 100))
	require.NotEqual(t, asked("id=1", 100), asked("id=1", 1000))
}

func BenchmarkRequest(b *testing.B) {
	w := New()
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/items/7/parts"}}
	b.ReportAllocs()
	for b.Loop() {
		q := w.Begin(r)
		q.Answered()
		q.Ended(false)
	}
}
