package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
)

// comeBack brings a refused request before the dispatcher again.
func (w *world) comeBack(r admission.Request) chan result {
	out := make(chan result, 1)
	go func() {
		l, err := w.Acquire(w.t.(*testing.T).Context(), r)
		out <- result{l, err}
	}()
	synctest.Wait()
	return out
}

// A request that an instance has refused is not sent there again: it waits, and the instance that is started serves it before
// those that came later. It counts as one request, whichever of Envoy's two streams is heard first.
func TestARefusedRequestIsServedElsewhere(t *testing.T) {
	for name, releasedBefore := range map[string]bool{"released before": true, "released after": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				first, lease := w.up()
				lease.id = "a"
				began := time.Now()
				time.Sleep(100 * time.Millisecond)
				if releasedBefore {
					lease.Release()
				}
				back := w.comeBack(admission.Request{Function: "web", ID: "a", RefusedBy: first, Began: began, Returned: true})
				if !releasedBefore {
					lease.Release()
				}
				later := w.acquire(t.Context())
				require.Empty(t, back)
				require.Empty(t, later)
				ids := w.instances()
				require.Len(t, ids, 2)
				w.publish()
				w.Up(relays.Up{Instance: ids[1], Environment: "other", Slots: 1})
				r := <-back
				require.NoError(t, r.err)
				require.Equal(t, "/e/web/0001", r.lease.Endpoint())
				require.Empty(t, later, "it came later")
				r.lease.Release()

				status := w.Functions()[0]
				require.EqualValues(t, 1, status.Returned)
				if !releasedBefore {
					require.EqualValues(t, 2, status.Bill.Plain.Requests, "this one and the later one")
				}
			})
		})
	}
}

// A word of an instance that is gone, or of another function, is not believed.
func TestARefusalByNobodyKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		_, lease := w.up()
		for _, by := range []string{"nobody", ""} {
			r := <-w.comeBack(admission.Request{Function: "web", RefusedBy: by, Returned: true, Began: time.Now().Add(time.Hour)})
			require.NoError(t, r.err)
			r.lease.Release()
		}
		lease.Release()
	})
}

func TestARefusedRequestWhereNothingMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Queue.Limit, f.Scaling.Min = 0, 1 })
		id := w.instances()[0]
		w.publish()
		w.comesUp(id)
		synctest.Wait()
		requireRefused(t, <-w.comeBack(admission.Request{Function: "web", RefusedBy: id, Returned: true}), admission.Rejected, admission.Overload)
	})
}

// What a peer counts beyond the leases takes slots, in the pool, in the API and in what Envoy balances by.
func TestForeignSlotsAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		id, lease := w.up()
		w.Load(id, relays.Load{InFlight: 7, Way: time.Millisecond})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 6, w.Functions()[0].Foreign)
		require.Equal(t, 3, w.Functions()[0].Free)
		require.Equal(t, 6, w.Instances()[0].Foreign)
		require.Equal(t, 7, w.Instances()[0].Reported)
		require.EqualValues(t, 3, w.Endpoints("web", nil)[0].Weight)
		w.Load(id, relays.Load{InFlight: 1})
		require.Equal(t, 9, w.Functions()[0].Free)
		lease.Release()
	})
}
