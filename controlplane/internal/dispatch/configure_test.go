package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func aFunction(name string, change func(*config.Function)) config.Function {
	return webFunction(func(f *config.Function) {
		f.Name = name
		if change != nil {
			change(f)
		}
	})
}

// load says that the functions are now these.
func (w *world) load(functions ...config.Function) {
	c := Configuration{
		Functions: functions, Pricing: config.Default().Pricing, Providers: map[string]provider.Provider{}, Tokens: map[string]func() string{},
	}
	for _, cfg := range functions {
		if cfg.Provider == config.ProviderLambda {
			c.Providers[cfg.Name] = w
		} else {
			c.Tokens[cfg.Name] = func() string { return staticToken }
		}
	}
	w.Configure(c)
	synctest.Wait()
}

func (w *world) names() []string {
	names := []string{}
	for _, f := range w.Functions() {
		names = append(names, f.Name)
	}
	return names
}

func TestAFunctionThatIsNewIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		require.Equal(t, admission.UnknownFunction, w.asked("shop"))
		w.load(webFunction(nil), aFunction("shop", func(f *config.Function) { f.Scaling.Min = 1 }))
		require.Equal(t, []string{"shop", "web"}, w.names())
		require.Len(t, w.instances(), 1, "its minimum")
		got := w.acquireFrom(t.Context(), "shop")
		w.publishOf("shop")
		w.comesUp(w.instances()[0])
		require.NoError(t, (<-got).err)
	})
}

// A function that is gone refuses who waits, finishes what is in flight, is billed no longer than that, and is forgotten.
func TestAFunctionThatIsGoneDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency, f.Scaling.Max, f.Scaling.Min = 1, 1, 1 })
		id, lease := w.up()
		waits := w.acquire(t.Context())
		w.load(aFunction("shop", nil))
		require.Equal(t, admission.UnknownFunction, causeIn((<-waits).err))
		require.Equal(t, admission.UnknownFunction, w.asked("web"))
		require.Equal(t, []string{"web"}, w.Leaving())
		require.True(t, w.Functions()[1].Leaving)
		time.Sleep(5 * time.Minute)
		require.Empty(t, w.drainedFor(id), "its request goes on")
		require.Equal(t, "draining", w.Instances()[0].State)
		lease.Release()
		synctest.Wait()
		require.Equal(t, wire.ReasonOperator, w.drainedFor(id))
		w.Down(id, &wire.Report{Reason: wire.ReasonOperator}, nil)
		w.end(id, provider.End{Report: &wire.Report{Reason: wire.ReasonOperator}})
		require.Equal(t, []string{"shop"}, w.names())
		require.Empty(t, w.Leaving())
		require.Len(t, w.instances(), 1, "nothing was started in its place")
	})
}

// A function without instances is gone at once, and one that comes back before it has left goes on.
func TestAFunctionThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency = 1 })
		id, lease := w.up()
		w.load()
		require.Equal(t, []string{"web"}, w.Leaving())
		w.load(webFunctions(nil)...)
		require.Empty(t, w.Leaving())
		got := w.acquire(t.Context())
		require.Len(t, w.instances(), 2, "the one that drains is not leased")
		w.publish()
		w.comesUp(w.instances()[1])
		require.NoError(t, (<-got).err)
		lease.Release()
		w.Down(id, &wire.Report{}, nil)
		w.end(id, provider.End{Report: &wire.Report{}})
		require.Equal(t, []string{"web"}, w.names())

		w.load(append(webFunctions(nil), aFunction("shop", nil))...)
		w.load(webFunctions(nil)...)
		require.Equal(t, []string{"web"}, w.names(), "it had nothing")
	})
}

func TestAFunctionThatIsDisabledAndEnabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Concurrency, f.Scaling.Max = 1, 1 })
		id, lease := w.up()
		waits := w.acquire(t.Context())
		w.load(webFunction(func(f *config.Function) { f.Disabled, f.Scaling.Min = true, 1 }))
		require.Equal(t, admission.Disabled, causeIn((<-waits).err))
		require.Equal(t, admission.Disabled, w.asked("web"))
		lease.Release()
		synctest.Wait()
		require.Equal(t, wire.ReasonOperator, w.drainedFor(id))
		w.end(id, provider.End{Report: &wire.Report{}})
		require.Len(t, w.instances(), 1, "nothing is started, not for the minimum either")
		w.load(webFunction(func(f *config.Function) { f.Scaling.Min = 1 }))
		require.Len(t, w.instances(), 2)
	})
}

// What an edit says nothing about is not touched: not its settings, its timer, nor what Envoy is told of it.
func TestAnEditOfOneFunctionTouchesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, config.Budget{}, webFunction(nil), aFunction("shop", nil))
		var touched []string
		w.changed = func(name string) { touched = append(touched, name) }
		before := w.named("web").settings()
		w.load(webFunction(nil), aFunction("shop", func(f *config.Function) { f.Queue.Limit = 7 }))
		require.Same(t, before, w.named("web").settings())
		require.Equal(t, []string{"shop"}, touched)
		require.Equal(t, 7, w.Functions()[0].QueueLimit)
		w.load(webFunction(nil), aFunction("shop", func(f *config.Function) { f.Queue.Limit = 7 }))
		require.Equal(t, []string{"shop"}, touched, "the same again is no change")
	})
}

// Another function, or another qualifier, is invoked at once, and what runs the one before is replaced.
func TestAnotherFunctionToInvoke(t *testing.T) {
	for name, change := range map[string]func(*config.Function){
		"name":      func(f *config.Function) { f.Lambda.FunctionName = "other" },
		"qualifier": func(f *config.Function) { f.Lambda.Qualifier = "other" },
		// Of a function that was taken out and comes back before it has left.
		"region": func(f *config.Function) { f.Lambda.Region = "eu-west-1" },
		"role":   func(f *config.Function) { f.Lambda.AssumeRole = "arn:aws:iam::123456789012:role/other" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(f *config.Function) { f.Rollout.Watch, f.Rollout.Hold, f.Scaling.Min = 0, 0, 1 })
				w.publish()
				w.comesUp(w.instances()[0])
				synctest.Wait()
				w.load(webFunction(func(f *config.Function) {
					f.Rollout.Watch, f.Rollout.Hold, f.Scaling.Min = 0, 0, 1
					change(f)
				}))
				require.Len(t, w.instances(), 2)
				require.Empty(t, w.drainedFor(w.instances()[0]), "not before the other one is up")
				w.publish()
				w.comesUp(w.instances()[1])
				synctest.Wait()
				require.NotEmpty(t, w.drainedFor(w.instances()[0]))
			})
		})
	}
}

// A ceiling that comes while instances run counts them.
func TestACeilingThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		priced := webFunction(func(f *config.Function) { f.Lambda.MemoryMB, f.Scaling.Concurrency = 1024, 1 })
		w := newWorldOf(t, config.Budget{}, priced)
		w.acquire(t.Context())
		require.Len(t, w.instances(), 1)
		one := config.Default().Pricing.Rates(config.ArchitectureX86).PerHour(1024)
		c := Configuration{
			Functions: []config.Function{priced}, Pricing: config.Default().Pricing, Providers: map[string]provider.Provider{"web": w},
			Budget: config.Budget{DollarsPerHour: 1.5 * one},
		}
		w.Configure(c)
		w.acquire(t.Context())
		require.Len(t, w.instances(), 1)
		require.Equal(t, "dollars_total", w.Functions()[0].Blocked)
		c.Budget.DollarsPerHour = 0
		w.Configure(c)
		require.Len(t, w.instances(), 2, "it is lifted")
	})
}

// A function may come back into another account before it has left, or be known by its instances before it is configured. What of it
// runs counts where it is now, and nowhere else.
func TestAnAccountThatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := func(f *config.Function) { f.Scaling.Concurrency = 1 }
		first, second := scaler.NewPlaces(1), scaler.NewPlaces(1)
		w := newWaitingWorldWith(t, Options{})
		w.Inherited(relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0000", Age: time.Minute, UpFor: time.Second})
		w.lead()
		c := Configuration{
			Functions: webFunctions(full), Pricing: config.Default().Pricing, Providers: map[string]provider.Provider{"web": w},
			Accounts: map[string]*scaler.Budget{"web": first},
		}
		w.Configure(c)
		w.acquire(t.Context())
		require.Empty(t, w.instances(), "the one that was taken over takes the place")
		require.Equal(t, "account", w.Functions()[0].Blocked)

		w.Configure(Configuration{Pricing: c.Pricing})
		require.Equal(t, []string{"web"}, w.Leaving())
		c.Accounts["web"] = second
		w.Configure(c)
		w.acquire(t.Context())
		require.Equal(t, "account", w.Functions()[0].Blocked)
		shop := aFunction("shop", full)
		c.Functions, c.Providers["shop"], c.Accounts["shop"] = append(c.Functions, shop), w, first
		w.Configure(c)
		time.Sleep(time.Second)
		w.acquireFrom(t.Context(), "shop")
		require.Len(t, w.instances(), 1, "the first account has its place back")
	})
}

// Whoever takes over with another configuration goes on as if that had been loaded.
func TestATakeoverWithAnotherConfigurationIsAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := newWorldOf(t, config.Budget{}, aFunction("shop", nil))
		got := before.acquireFrom(t.Context(), "shop")
		id := before.instances()[0]
		before.publishOf("shop")
		before.comesUp(id)
		require.NoError(t, (<-got).err)

		after := newWaitingWorld(t, nil)
		after.Inherited(relays.Inheritance{Instance: id, Function: "shop", Endpoint: "shop/0000", Age: time.Minute, UpFor: time.Second})
		after.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Left: 10 * time.Minute})
		after.Load(id, relays.Load{InFlight: 1})
		after.Start()
		synctest.Wait()
		require.Equal(t, []string{"shop"}, after.Leaving())
		require.Len(t, after.Endpoints("shop", nil), 1, "Envoy must not lose it before its request has ended")
		time.Sleep(3 * time.Minute)
		require.Empty(t, after.drainedFor(id), "its request goes on")
		after.Load(id, relays.Load{})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, wire.ReasonOperator, after.drainedFor(id))
		after.Down(id, &wire.Report{Reason: wire.ReasonOperator}, nil)
		synctest.Wait()
		require.Equal(t, []string{"web"}, after.names())
	})
}

// A caretaker may hear of a function's instances before it reads the configuration that has it, and of their end after it reads one
// that has it no more. It serves them.
func TestACaretakerServesWhatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorldWith(t, Options{Configuration: Configuration{Functions: webFunctions(nil)}, Caretaker: true})
		w.Start()
		w.Inherited(relays.Inheritance{Instance: "new", Function: "shop", Endpoint: "shop/0000"})
		w.Up(relays.Up{Instance: "new", Environment: "env", Slots: 1, Left: 10 * time.Minute})
		w.Load("new", relays.Load{})
		require.Empty(t, w.asked("shop"))
		w.load(webFunction(nil), aFunction("shop", nil))
		require.Empty(t, w.asked("shop"))
		w.load(webFunction(nil))
		require.Empty(t, w.asked("shop"))
		w.Down("new", &wire.Report{}, nil)
		synctest.Wait()
		require.Equal(t, []string{"web"}, w.names())
	})
}

// A relay's file need not name functions: a request of one that no instance was heard of yet waits for a leader as any other.
func TestACaretakerHoldsRequestsOfFunctionsUnheardOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorldWith(t, Options{Caretaker: true})
		w.Start()
		began := time.Now()
		require.Equal(t, admission.NoLeader, (<-w.acquireFrom(t.Context(), "shop")).err.(*admission.Error).Cause)
		require.Equal(t, pool.LeaderWithin, time.Since(began))
		synctest.Wait()
		require.Empty(t, w.names(), "it is forgotten")

		waiting := w.acquireFrom(t.Context(), "shop")
		w.GiveBack()
		require.ErrorIs(t, (<-waiting).err, admission.ErrElsewhere)

		waiting = w.acquireFrom(t.Context(), "shop")
		w.Inherited(relays.Inheritance{Instance: "new", Function: "shop", Endpoint: "shop/0000"})
		w.comesUp("new")
		got := <-waiting
		require.NoError(t, got.err)
		got.lease.Release()
		require.Equal(t, admission.NoLeader, w.asked("No Name"))
	})
}

// asked asks for a slot, gives it back at once, and returns why there was none.
func (w *world) asked(function string) admission.Cause {
	ctx, leave := context.WithTimeout(w.t.Context(), time.Second)
	defer leave()
	l, err := w.Acquire(ctx, admission.Request{Function: function})
	if err == nil {
		l.Release()
	}
	return causeIn(err)
}

func causeIn(err error) admission.Cause {
	var refused *admission.Error
	if errors.As(err, &refused) {
		return refused.Cause
	}
	return ""
}

// Any sequence of configurations, with requests and instances meanwhile, leaves what a start with the last one has.
func TestAnySequenceOfConfigurationsIsTheLast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var loads [][]config.Function
		for range rapid.IntRange(1, 6).Draw(r, "loads") {
			loads = append(loads, drawFunctions(r))
		}
		busy := rapid.Bool().Draw(r, "busy")
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOf(t, config.Budget{})
			for _, functions := range loads {
				w.load(functions...)
				if busy && len(functions) > 0 {
					ctx, leave := context.WithCancel(t.Context())
					w.acquireFrom(ctx, functions[0].Name)
					leave()
					synctest.Wait()
				}
				for _, f := range w.list() {
					f.mu.Lock()
					require.NoError(t, f.pool.Check())
					f.mu.Unlock()
				}
			}
			w.endAll()
			fresh := newWorldOf(t, config.Budget{}, loads[len(loads)-1]...)
			require.Equal(t, fresh.names(), w.names())
			for _, f := range fresh.list() {
				got, want := w.named(f.name).settings(), f.settings()
				require.True(t, got.same(want), f.name)
				require.Equal(t, want.closed, got.closed)
				got.plan.settings.Seed, got.plan.settings.Scaling.Total = want.plan.settings.Seed, want.plan.settings.Scaling.Total
				require.Equal(t, want.plan, got.plan)
			}
		})
	})
}

// endAll ends each instance as if its peer had finished.
func (w *world) endAll() {
	for _, i := range w.Instances() {
		w.end(i.ID, provider.End{Report: &wire.Report{}})
	}
}

func drawFunctions(t *rapid.T) []config.Function {
	var functions []config.Function
	for n := range rapid.IntRange(0, 3).Draw(t, "functions") {
		if rapid.Bool().Draw(t, "left out") {
			continue
		}
		functions = append(functions, aFunction(fmt.Sprint("f", n), func(f *config.Function) {
			f.Disabled = rapid.IntRange(0, 4).Draw(t, "disabled") == 0
			f.Queue.Limit = rapid.IntRange(0, 3).Draw(t, "limit")
			f.Scaling.Concurrency = rapid.IntRange(0, 3).Draw(t, "concurrency")
			f.Scaling.Max = rapid.IntRange(1, 3).Draw(t, "max")
			f.Lambda.MemoryMB = rapid.SampledFrom([]int{0, 512, 1024}).Draw(t, "memory")
			f.Lambda.FunctionName = rapid.SampledFrom([]string{"", "other"}).Draw(t, "function")
			f.Scaling.Linger = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "linger")
			f.Scaling.MaxEnvironments = rapid.IntRange(0, 2).Draw(t, "environments")
			f.Scaling.Preference = rapid.SampledFrom([]string{config.PreferCost, config.PreferBalanced, config.PreferLatency}).Draw(t, "preference")
			f.Scaling.DollarsPerHour = rapid.SampledFrom([]float64{0, 0.1, 10}).Draw(t, "dollars")
			f.Lambda.Qualifier = rapid.SampledFrom([]string{"", "live"}).Draw(t, "qualifier")
			f.Lambda.Region = rapid.SampledFrom([]string{"", "eu-west-1"}).Draw(t, "region")
			f.Rollout.Watch = rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(t, "watch")
			if rapid.IntRange(0, 3).Draw(t, "provider") == 0 { // of a function that was gone and came back
				f.Provider, f.Lambda, f.Scaling.Linger, f.Scaling.MaxEnvironments = config.ProviderStatic, config.DefaultFunction().Lambda, 0, 0
			}
			f.Timeouts.Total = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "total")
		}))
	}
	return functions
}
