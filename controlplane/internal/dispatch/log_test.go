package dispatch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// logged is what operators read from now on, by a message: the fields of each such line.
func (w *world) logged() func(message string) []logrus.Fields {
	log := logtest.NewLocal(w.log.(*logrus.Entry).Logger)
	return func(message string) (lines []logrus.Fields) {
		synctest.Wait()
		for _, e := range log.AllEntries() {
			if e.Message == message && e.Level <= logrus.InfoLevel {
				lines = append(lines, e.Data)
			}
		}
		return lines
	}
}

func TestTheLogSaysWhyAnInstanceStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		logged := w.logged()
		reasons := func() (why []any) {
			for _, line := range logged("instance starts") {
				why = append(why, line["reason"])
			}
			return why
		}
		w.lead()
		require.Equal(t, []any{scaler.ForMin}, reasons())
		w.publish()
		w.comesUp(w.instances()[0])
		for range config.DefaultFunction().Scaling.Concurrency + 1 {
			w.acquire(t.Context())
		}
		require.Equal(t, []any{scaler.ForMin, scaler.ForWaiters}, reasons())
	})
}

// An idle instance ends within a moment, so its end says all. One with requests may drain for minutes.
func TestADrainIsLoggedWhereItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		logged := w.logged()
		got := <-w.acquire(t.Context())
		require.NoError(t, got.err)
		w.routes(to("2"), nil)
		w.pass(10 * time.Second)
		drains := logged("instance drains")
		require.Len(t, drains, 1, "of two that are replaced")
		require.Equal(t, []any{got.lease.on.ID, wire.ReasonRollout, 1}, []any{drains[0]["instance"], drains[0]["reason"], drains[0]["in_flight"]})
		require.Len(t, logged("instance ended"), 1)
		got.lease.Release()
		w.pass(time.Second)
		require.Len(t, logged("instance ended"), 2)
		require.Len(t, logged("instance drains"), 1)
	})
}

// A reader goes from cause to effect: an instance is ready, hence the rollout is a step further.
func TestTheLogHasARolloutsStepsAfterWhatLedToThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDeployed(t, to("1"), nil)
		log := logtest.NewLocal(w.log.(*logrus.Entry).Logger)
		w.routes(to("2"), nil)
		var told []string
		for _, e := range log.AllEntries() {
			if e.Message == "rollout" {
				told = append(told, fmt.Sprint(e.Data["phase"]))
			} else if e.Message == "instance starts" || e.Message == "instance is ready" {
				told = append(told, e.Message)
			}
		}
		require.Equal(t, []string{"starting", "instance starts", "instance is ready", "watching"}, told[:4])
	})
}

// The rollout that a moved alias begins says by itself where the alias leads to.
func TestTheLogSaysOnceWhereAQualifierPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorld(t, func(f *config.Function) { f.Scaling.Min = 2 })
		logged := w.logged()
		w.routing = to("1")
		w.lead()
		w.pass(12 * time.Second)
		const points = "the qualifier points to this version"
		require.Len(t, logged(points), 1)
		w.routes(to("2"), nil)
		require.Len(t, logged(points), 1)
		require.Equal(t, "2", logged("rollout")[0]["to"])
	})
}
