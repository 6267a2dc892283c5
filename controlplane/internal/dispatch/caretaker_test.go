package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// newCaretaker is a world that decides about requests alone, with one instance of ten slots that others have started.
func newCaretaker(t *testing.T) *world {
	w := newWaitingWorldWith(t, Options{Configuration: Configuration{Functions: webFunctions(nil)}, Caretaker: true})
	w.Start()
	w.Inherited(relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0002"})
	w.comesUp("one")
	return w
}

// What is ready serves although nobody leads, no slot twice; nothing is started for who finds none, nor drained.
func TestACaretakerLeasesWhatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCaretaker(t)
		w.Load("one", relays.Load{InFlight: 4})
		time.Sleep(time.Second)
		var leases []*Lease
		for range 6 {
			got := <-w.acquire(t.Context())
			require.NoError(t, got.err)
			require.Equal(t, "/e/web/0002", got.lease.Endpoint())
			leases = append(leases, got.lease)
		}
		late := w.acquire(t.Context())
		select {
		case <-late:
			t.Fatal("four slots are others'")
		default:
		}
		leases[0].Release()
		require.NoError(t, (<-late).err)
		for _, l := range leases {
			l.Release()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, w.instances())
		require.Empty(t, w.drainedFor("one"), "whoever leads ends it")
	})
}

// Where concurrency is learned a caretaker leases as many slots as the leader that started the instance had learned by then.
func TestACaretakerKnowsLearnedSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		learns := func(c *config.Function) { c.Scaling.Concurrency = 0 }
		before := newWorld(t, learns)
		before.acquire(t.Context())
		id := before.instances()[0]
		w := newWaitingWorldWith(t, Options{Configuration: Configuration{Functions: webFunctions(learns)}, Caretaker: true})
		w.Start()
		w.Inherited(relays.Inheritance{Instance: id, Function: "web", Endpoint: "web/0000", Memo: before.expected[0].Memo})
		w.comesUp(id)
		require.Equal(t, scaler.FirstSlots, w.Functions()[0].Capacity)
	})
}

func TestACaretakerSaysThatNobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCaretaker(t)
		w.Load("one", relays.Load{InFlight: 10})
		time.Sleep(time.Second)
		began := time.Now()
		refused := (<-w.acquire(t.Context())).err.(*admission.Error)
		require.Equal(t, admission.NoLeader, refused.Cause)
		require.Equal(t, leaderSoon, refused.RetryAfter)
		require.Equal(t, pool.LeaderWithin, time.Since(began))
	})
}

// Who waits here when somebody leads again is asked for there.
func TestACaretakerGivesBackWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newCaretaker(t)
		w.Load("one", relays.Load{InFlight: 10})
		time.Sleep(time.Second)
		waiting := w.acquire(t.Context())
		w.GiveBack()
		require.ErrorIs(t, (<-waiting).err, admission.ErrElsewhere)
		w.Load("one", relays.Load{})
		require.NoError(t, (<-w.acquire(t.Context())).err, "it serves on, for Envoys that have not noticed")
	})
}

// A function that is not configured comes and goes with its requests. One that was looked up just before it goes must not wait in it.
func TestNoRequestWaitsInAFunctionThatIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaitingWorldWith(t, Options{Caretaker: true})
		w.Start()
		lookedUp, err := w.stranger("web")
		require.NoError(t, err)
		w.drop(lookedUp)
		_, err = lookedUp.acquire(t.Context(), admission.Request{Function: "web"})
		require.ErrorIs(t, err, errForgotten)
		require.ErrorIs(t, lookedUp.inherit(relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0000"}), errForgotten)

		w.Inherited(relays.Inheritance{Instance: "one", Function: "web", Endpoint: "web/0000"})
		w.comesUp("one")
		require.NoError(t, (<-w.acquire(t.Context())).err)
	})
}
