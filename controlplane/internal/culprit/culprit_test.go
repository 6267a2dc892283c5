package culprit_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/culprit"
)

// A traffic is requests of one kind.
type traffic struct {
	method    string
	path      func(*rand.Rand) string
	perSecond float64
	takes     time.Duration // on average
	kills     float64       // how likely, in the end
}

func fixed(path string) func(*rand.Rand) string { return func(*rand.Rand) string { return path } }

func numbered(before, after string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return fmt.Sprint(before, r.IntN(1_000_000), after) }
}

// A world is a function whose requests are packed on instances of ten slots.
type world struct {
	dice   *rand.Rand
	book   culprit.Book
	now    time.Time
	began  time.Time
	boxes  []*box
	ends   []*flight // soonest first
	deaths int       // of environments
	cut    int       // requests beside one that killed
	named  []string
	at     []int         // deaths when one was named
	window time.Duration // what is counted as in flight at a death is what ended in that time before
	random time.Duration // mean time between deaths that no request causes, of an instance that is chosen by how much it has; 0: none
	next   time.Time     // the next of these
}

type box struct {
	has  []*flight
	gone []*flight // lately
}

type flight struct {
	traffic
	culprit.Request
	on       *box
	from, to time.Time
}

const slots = 10

func (w *world) run(d time.Duration, all ...traffic) {
	var total float64
	for _, t := range all {
		total += t.perSecond
	}
	w.now = time.Unix(1_000_000, 0)
	w.began, w.next = w.now, w.now
	for end := w.now.Add(d); w.now.Before(end); {
		at := w.now.Add(time.Duration(w.dice.ExpFloat64() / total * float64(time.Second)))
		for len(w.ends) > 0 && w.ends[0].to.Before(at) {
			w.end(w.ends[0])
		}
		w.now = at
		if w.random > 0 && !w.next.After(at) {
			w.strike()
			w.next = at.Add(time.Duration(w.dice.ExpFloat64() * float64(w.random)))
		}
		pick := w.dice.Float64() * total
		for _, t := range all {
			if pick -= t.perSecond; pick < 0 {
				w.arrive(t)
				break
			}
		}
	}
}

func (w *world) arrive(t traffic) {
	f := &flight{traffic: t, Request: culprit.Request{Method: t.method, Path: t.path(w.dice)}, from: w.now}
	f.to = w.now.Add(time.Duration(w.dice.ExpFloat64() * float64(t.takes)))
	for _, b := range w.boxes {
		if len(b.has) < slots && (f.on == nil || len(b.has) > len(f.on.has)) {
			f.on = b
		}
	}
	if f.on == nil {
		f.on = &box{}
		w.boxes = append(w.boxes, f.on)
	}
	f.on.has = append(f.on.has, f)
	at, _ := slices.BinarySearchFunc(w.ends, f, func(a, b *flight) int { return a.to.Compare(b.to) })
	w.ends = slices.Insert(w.ends, at, f)
}

func (w *world) end(f *flight) {
	w.now = f.to
	w.ends = w.ends[1:]
	if w.dice.Float64() < f.kills {
		w.cut += len(f.on.has) - 1
		w.die(f.on)
		return
	}
	f.on.has = slices.DeleteFunc(f.on.has, func(g *flight) bool { return g == f })
	f.on.gone = append(slices.DeleteFunc(f.on.gone, func(g *flight) bool { return w.now.Sub(g.to) > culprit.Window }), f)
	w.book.Served(w.now, f.Request, w.now.Sub(f.from))
}

// strike is a death that no request causes.
func (w *world) strike() {
	if len(w.ends) > 0 {
		w.die(w.ends[w.dice.IntN(len(w.ends))].on)
	}
}

func (w *world) die(b *box) {
	w.deaths++
	var had []culprit.Request
	for _, f := range b.has {
		had = append(had, f.Request)
		w.ends = slices.DeleteFunc(w.ends, func(g *flight) bool { return f == g })
		w.book.Served(w.now, f.Request, w.now.Sub(f.from))
	}
	for _, f := range b.gone {
		if w.now.Sub(f.to) <= w.window {
			had = append(had, f.Request)
		}
	}
	w.boxes = slices.DeleteFunc(w.boxes, func(c *box) bool { return b == c })
	flying := func(yield func(culprit.Flight) bool) {
		for _, f := range w.ends {
			if !yield(culprit.Flight{Request: f.Request, For: w.now.Sub(f.from)}) {
				return
			}
		}
	}
	if name := w.book.Died(w.now, had, slots, flying); name != "" {
		w.named, w.at = append(w.named, name), append(w.at, w.deaths)
	}
}

var (
	page   = traffic{method: "GET", path: fixed("/"), perSecond: 20, takes: 50 * time.Millisecond}
	item   = traffic{method: "GET", path: numbered("/items/", ""), perSecond: 8, takes: 100 * time.Millisecond}
	socket = traffic{method: "GET", path: fixed("/socket"), perSecond: 0.1, takes: 3 * time.Minute}
	post   = traffic{method: "POST", path: fixed("/api/v1/orders"), perSecond: 2, takes: 300 * time.Millisecond}
	slugs  = traffic{method: "GET", path: func(r *rand.Rand) string { return "/blog/" + word(r) }, perSecond: 5, takes: 50 * time.Millisecond}
)

func word(r *rand.Rand) string {
	out := make([]byte, 8)
	for k := range out {
		out[k] = byte('a' + r.IntN(26))
	}
	return string(out)
}

// A route that kills is named after a few deaths, by the narrowest name that covers it, and nothing else is.
func TestWhatKillsIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		killer traffic
		beside []traffic
		want   string
		within int // deaths
	}{
		"always, seldom": {
			traffic{"GET", numbered("/reports/", "/pdf?page=1"), 1.0 / 60, time.Second, 1},
			[]traffic{page, item, post, socket},
			"GET /reports/{id}/pdf", 14,
		},
		"always, slowly": {
			traffic{"POST", fixed("/api/v1/export"), 1.0 / 120, 20 * time.Second, 1},
			[]traffic{page, item, post, socket},
			"POST /api/v1/export", 25,
		},
		"one in ten": {
			traffic{"PUT", fixed("/images"), 0.2, 500 * time.Millisecond, 0.1},
			[]traffic{page, item, post, socket, slugs},
			"PUT /images", 20,
		},
		"below a prefix": {
			traffic{"GET", func(r *rand.Rand) string { return "/blog/" + word(r) + "/print" }, 1.0 / 30, time.Second, 1},
			[]traffic{page, item, post},
			"GET /blog/*", 16,
		},
		"beside another cause": {
			traffic{"GET", fixed("/heavy"), 1.0 / 30, time.Second, 0.5},
			[]traffic{page, item, post, socket},
			"GET /heavy", 60,
		},
		"small function": {
			traffic{"GET", fixed("/heavy"), 1.0 / 300, time.Second, 1},
			[]traffic{{method: "GET", path: fixed("/"), perSecond: 0.5, takes: 50 * time.Millisecond}},
			"GET /heavy", 16,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := &world{dice: rand.New(rand.NewPCG(seed, 1)), window: culprit.Window}
				if name == "beside another cause" {
					w.random = 2 * time.Minute
				}
				w.run(time.Hour, append(c.beside, c.killer)...)
				require.Equal(t, []string{c.want}, w.named, "seed %d, %d deaths", seed, w.deaths)
				require.LessOrEqual(t, w.at[0], c.within, "deaths, seed %d", seed)
				got := w.book.Routes(w.now)[0]
				require.Equal(t, c.want, got.Name)
				if w.random == 0 {
					require.LessOrEqual(t, got.Of, w.deaths)
					require.GreaterOrEqual(t, got.Deaths, w.deaths-c.within)
				}
			}
		})
	}
}

// Two that kill are both named.
func TestTwoThatKillAreNamed(t *testing.T) {
	for seed := range uint64(3) {
		w := &world{dice: rand.New(rand.NewPCG(seed, 2)), window: culprit.Window}
		w.run(time.Hour, page, item, post,
			traffic{"GET", fixed("/one"), 1.0 / 60, time.Second, 1}, traffic{"POST", fixed("/two"), 1.0 / 90, time.Second, 1})
		slices.Sort(w.named)
		require.Equal(t, []string{"GET /one", "POST /two"}, w.named, "seed %d", seed)
	}
}

// Where environments die for other reasons nothing is named: neither streams, which are there whenever one dies, nor what most requests are.
func TestNothingIsNamedForWhatItDidNotDo(t *testing.T) { nothingIsNamed(t, 4) }

func TestLongNothingIsNamedForWhatItDidNotDo(t *testing.T) { nothingIsNamed(t, 60) }

func nothingIsNamed(t *testing.T, seeds uint64) {
	for name, all := range map[string][]traffic{
		"web":     {page, item, post, slugs},
		"streams": {page, item, post, socket},
		"one":     {page},
		"bursts":  {{method: "GET", path: numbered("/", ""), perSecond: 80, takes: 100 * time.Millisecond}, post, socket},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds {
				w := &world{dice: rand.New(rand.NewPCG(seed, 3)), random: 4 * time.Second}
				w.window = time.Duration(2+seed%3) * culprit.Window / 4 // a death is heard at once, or as late as half of what is allowed for
				w.run(20*time.Minute, all...)
				require.Greater(t, w.deaths, 60)
				require.Empty(t, w.named, "seed %d", seed)
			}
		})
	}
}

// Clients who choose other paths each time push nothing out that has been seen twice, and take a bounded place.
func TestPathsOfClientsTakeABoundedPlace(t *testing.T) {
	var b culprit.Book
	now := time.Unix(1_000_000, 0)
	dice := rand.New(rand.NewPCG(1, 1))
	killer := culprit.Request{Method: "GET", Path: "/kill"}
	none := func(func(culprit.Flight) bool) {}
	var named string
	for n := 0; n < 20 && named == ""; n++ {
		had := []culprit.Request{killer}
		for range 500 {
			path := ""
			for range 6 {
				path += "/" + word(dice)
			}
			had = append(had, culprit.Request{Method: "GET", Path: path})
		}
		for range 20_000 {
			b.Served(now, culprit.Request{Method: "GET", Path: "/" + word(dice)}, time.Second)
		}
		for _, r := range had {
			b.Served(now, r, time.Second)
		}
		now = now.Add(time.Minute)
		named = b.Died(now, had, 501, none)
	}
	require.Equal(t, "GET /kill", named)
	require.Len(t, b.Routes(now), 1)
}

// What was named is forgotten a day after the last death.
func TestWhatKillsNoMoreIsForgotten(t *testing.T) {
	w := &world{dice: rand.New(rand.NewPCG(1, 4)), window: culprit.Window}
	w.run(20*time.Minute, page, traffic{"GET", fixed("/kill"), 1.0 / 30, time.Second, 1})
	killer := culprit.Request{Method: "GET", Path: "/kill"}
	require.True(t, w.book.Kills(w.now, killer))
	require.False(t, w.book.Kills(w.now, culprit.Request{Method: "GET", Path: "/"}))
	last := w.book.Routes(w.now)[0].Last
	require.Len(t, w.book.Routes(last.Add(23*time.Hour)), 1)
	require.Empty(t, w.book.Routes(last.Add(24*time.Hour)))
	require.False(t, w.book.Kills(last.Add(24*time.Hour), killer))
	require.False(t, w.book.Watches(last.Add(24*time.Hour)))
}

func TestNames(t *testing.T) {
	for path, want := range map[string]string{
		"/":                      "GET /",
		"":                       "GET /",
		"/?a=1":                  "GET /",
		"/users/42?token=secret": "GET /users/{id}",
		"/api/v1/orders":         "GET /api/v1/orders",
		"/api/v12/a/b/c/d":       "GET /api/v12/a/b/*",
		"/a/b/c/d":               "GET /a/b/c/d",
		"/f/0b5a63f6-7ae3/x":     "GET /f/{id}/x",
		"/caf%C3%A9/<script>":    "GET /{id}/{id}",
		"/a-very-long-segment-that-is-no-word-but-a-title": "GET /{id}",
		"//x": "GET //x",
	} {
		require.Equal(t, want, culprit.Request{Method: "GET", Path: path}.Name(), path)
	}
	require.Equal(t, "? /", culprit.Request{Method: "get\n", Path: "/"}.Name())
	require.Equal(t, "? /", cmp.Or(culprit.Request{Path: "/"}).Name())
}
