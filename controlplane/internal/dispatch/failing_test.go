package dispatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// broken is a Lambda whose every invocation fails for the same cause, a little later.
type broken struct {
	cause scaler.Cause
	mu    sync.Mutex
	at    []time.Time // invoked
}

func (b *broken) Invoke(context.Context, string, wire.Invocation) provider.End {
	b.mu.Lock()
	b.at = append(b.at, time.Now())
	b.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	return provider.End{Cause: b.cause}
}

func (*broken) Routing(context.Context) (provider.Routing, error) { return provider.Routing{}, nil }

func (b *broken) invoked() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

// newBroken must be called inside a synctest bubble.
func newBroken(t *testing.T, cause scaler.Cause, cfg config.Function) (*Dispatcher, *broken) {
	b := &broken{cause: cause}
	cfg.Name = "web"
	log := logrus.New()
	log.SetOutput(t.Output())
	log.SetLevel(logrus.ErrorLevel)
	d := New(Options{
		Configuration: Configuration{Functions: []config.Function{cfg}, Providers: map[string]provider.Provider{"web": b}},
		Key:           token.NewKey(), Log: log,
	})
	d.Connect(Connection{
		Relay: commands{&world{Dispatcher: d, drained: map[string]wire.Reason{}, notes: map[string][]byte{}}}, Socket: func(e string) string { return "/e/" + e }, Changed: func(string) {},
	})
	d.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		d.Shutdown(ctx)
	})
	return d, b
}

// Scenario 27: a thousand invocations fail under load. In no window of time are there more than the guards allow, the
// state names the cause, and each failure is counted.
func TestLongAThousandFailingInvocations(t *testing.T) {
	const burst, perSecond, enough = 20, 5.0, 1000
	for _, cause := range scaler.StartCauses {
		t.Run(string(cause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config.DefaultFunction()
				cfg.Queue.Timeout = 2 * time.Second
				cfg.Scaling.StartsBurst, cfg.Scaling.StartsPerSecond, cfg.Scaling.StartsInProgress = burst, perSecond, burst
				d, b := newBroken(t, cause, cfg)
				ctx, stop := context.WithCancel(t.Context())
				var clients sync.WaitGroup
				for range 15 {
					clients.Go(func() {
						for ctx.Err() == nil {
							_, err := d.Acquire(ctx, admission.Request{Function: "web"})
							assert.Error(t, err)
							time.Sleep(10 * time.Second)
						}
					})
				}
				for len(b.invoked()) < enough {
					time.Sleep(time.Minute)
				}
				status := d.Functions()[0]
				require.Equal(t, string(cause), status.Blocked)
				require.GreaterOrEqual(t, status.StartFailures[string(cause)], uint64(enough-burst))
				require.Len(t, status.StartFailures, 1)
				stop()
				clients.Wait()
				requireWithin(t, b.invoked(), burst, perSecond)
			})
		})
	}
}

// requireWithin holds every window of time against a token bucket, by what would be in a bucket that leaks.
func requireWithin(t *testing.T, at []time.Time, burst int, perSecond float64) {
	t.Helper()
	level := 0.0
	for i, now := range at {
		if i > 0 {
			level = max(0, level-now.Sub(at[i-1]).Seconds()*perSecond)
		}
		level++
		require.LessOrEqual(t, level, float64(burst)+1e-6, "invocation %d", i)
	}
}

// Scenario 27: one request causes a constant number of invocations, however long it may wait.
func TestOneRequestCausesFewInvocations(t *testing.T) {
	for _, cause := range scaler.StartCauses {
		t.Run(string(cause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := config.DefaultFunction()
				cfg.Queue.Timeout = time.Hour
				d, b := newBroken(t, cause, cfg)
				_, err := d.Acquire(t.Context(), admission.Request{Function: "web"})
				require.Error(t, err)
				require.NotEmpty(t, b.invoked())
				require.LessOrEqual(t, len(b.invoked()), scaler.Attempts)
			})
		})
	}
}
