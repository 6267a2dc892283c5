package pool_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/rollout"
)

var (
	held   = rollout.Plan{Hold: 3 * time.Second}
	judged = rollout.Plan{Hold: 3 * time.Second, MaxErrors: 0.2}
)

// Code that takes requests and answers none gets a few, and replaces nothing, whoever ends them.
func TestAVersionThatAnswersNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		firstByte, patient, within time.Duration
		harmed                     int
	}{
		"until timeouts.first_byte":       {time.Minute, time.Minute, 90 * time.Second, 3},
		"until a short one":               {2 * time.Second, 2 * time.Second, 10 * time.Second, 3},
		"for ever":                        {0, time.Hour, 90 * time.Second, 3},
		"until their clients have left":   {time.Minute, 5 * time.Second, 90 * time.Second, 10},
		"and their clients leave at once": {time.Minute, 100 * time.Millisecond, 90 * time.Second, 10},
	} {
		for to, route := range map[string]pool.Route{"alone": two, "with a share": {Version: "1", Extra: "2", Share: 0.4}} {
			t.Run(name+", "+to, func(t *testing.T) {
				d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = tt.firstByte })
				d.serve(5 * time.Second)
				d.hangs, d.patient = "2", tt.patient
				d.did(d.p.Route(d.now, route, held, false))
				for end := d.now.Add(tt.within); d.p.Rollout().Cause == ""; {
					require.True(t, d.now.Before(end), "%+v", d.p.Rollout())
					d.serve(100 * time.Millisecond)
					require.LessOrEqual(t, d.running()["2"], 1)
				}
				require.Equal(t, rollout.Hangs, d.p.Rollout().Cause)
				harmed := d.gaveUp
				for i := range d.p.Instances() {
					if i.Version() == "2" {
						harmed += i.InFlight()
					}
				}
				require.LessOrEqual(t, harmed, tt.harmed)
				d.serve(5 * time.Second)
				require.Equal(t, map[string]int{"1": deployed}, d.running())
				require.Zero(t, d.waits)
				require.Equal(t, 1, d.starts["2"])
			})
		}
	}
}

// Code whose first answer takes long is not given up, and gets no more than a trial before it.
func TestAVersionWhoseFirstAnswerTakesLong(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	d.serve(5 * time.Second)
	d.hangs, d.patient = "2", 55*time.Second // long polls, of which the first ends then
	d.did(d.p.Route(d.now, two, held, false))
	d.serve(50 * time.Second)
	require.Equal(t, rollout.Watching, d.p.Rollout().Phase)
	require.Equal(t, 1, d.running()["2"])
	d.hangs = ""
	d.serve(5 * time.Second)
	require.Equal(t, map[string]int{"2": deployed}, d.running())
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// What has a header is answered, however long it goes on.
func TestAVersionWhoseFirstRequestsGoOn(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	d.serve(5 * time.Second)
	d.hangs, d.patient = "2", time.Hour
	d.did(d.p.Route(d.now, two, held, false))
	d.serve(time.Second)
	for i := range d.p.Instances() {
		if i.Version() == "2" {
			d.reports(i, 1, 0)
		}
	}
	d.serve(10 * time.Second)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// A stream may say nothing until there is something to say.
func TestAVersionWhoseFirstRequestsAreStreams(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	d.serve(5 * time.Second)
	d.release(d.busy...)
	d.busy = nil
	d.did(d.p.Route(d.now, two, rollout.Plan{Hold: time.Hour}, false))
	d.serve(time.Second)
	streams := make([]*pool.Request, 8)
	for k := range streams {
		streams[k] = &pool.Request{Stream: true}
		d.collect(d.arrived(streams[k], d.p.Acquire(d.now, streams[k])))
		d.serve(20 * time.Second)
	}
	require.Equal(t, rollout.Watching, d.p.Rollout().Phase)
	require.Equal(t, "2", streams[0].Instance().Version())
	r := d.acquire()
	require.Equal(t, "2", r.Instance().Version(), "it is tried by other requests beside them")
	d.answer(r)
	require.Equal(t, "2", d.acquire().Instance().Version())
}

// A version that has had a share is not tried again when it gets all, though it is idle then, or what it has is answered for long.
func TestAShareThatGrowsNeedsNoTrial(t *testing.T) {
	for name, rest := range map[string]func(*deployment){
		"idle": func(d *deployment) {
			d.release(d.busy...)
			d.busy = nil
			d.run(5*time.Second, d.endDrained)
		},
		"long answers": func(d *deployment) {
			d.hangs, d.patient = "2", time.Hour // they have begun
			d.serve(90 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, func(s *pool.Settings) { s.FirstByte, s.Scaling.Min = time.Minute, deployed })
			d.did(d.p.Route(d.now, pool.Route{Version: "1", Extra: "2", Share: 0.2}, rollout.Plan{}, false))
			d.serve(5 * time.Second)
			require.Equal(t, map[string]int{"1": 4, "2": 1}, d.running())
			rest(d)
			d.did(d.p.Route(d.now, pool.Route{Version: "1", Extra: "2", Share: 0.6}, held, false))
			d.run(5*time.Second, d.comeUp)
			d.endDrained()
			require.Equal(t, rollout.Done, d.p.Rollout().Phase, d.p.Rollout().Cause)
			require.Equal(t, map[string]int{"1": 2, "2": 3}, d.running())
		})
	}
}

// Long answers of the old code are no sign that it hangs, too, while it answers others.
func TestAVersionThatAnswersNothingBesideLongAnswers(t *testing.T) {
	d := deploy(t, true, nil)
	d.serve(5 * time.Second)
	downloads := d.acquireN(5)
	d.hangs, d.patient = "2", time.Hour
	d.did(d.p.Route(d.now, two, held, false))
	for _, r := range downloads {
		d.serve(55 * time.Second)
		require.Equal(t, "1", r.Instance().Version())
		d.release(r)
	}
	require.Equal(t, rollout.Hangs, d.p.Rollout().Cause)
}

// What the old code waits for as well is no fault of the new one. The rollout goes on when they answer again.
func TestAVersionThatHangsAsTheOldOneDoes(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	d.serve(5 * time.Second)
	d.did(d.p.Route(d.now, two, held, false))
	d.run(time.Second, nil)
	d.comeUp()
	for range 4 { // nothing is answered for minutes: all run into their timeout, and others come
		d.release(d.busy...)
		d.busy = d.acquireN(len(d.busy))
		d.run(time.Minute, nil)
		d.endDrained()
		require.Equal(t, rollout.Watching, d.p.Rollout().Phase)
		require.Equal(t, 1, d.running()["2"])
	}
	d.serve(10 * time.Second)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// Code that answers some requests at once, such as health checks, and hangs on all others replaces nothing.
func TestAVersionThatAnswersSomeOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		patient time.Duration // of the clients, or timeouts.first_byte
		within  time.Duration
		but     int           // one of so many is answered
		takes   time.Duration // an answer
	}{
		"half, until timeouts.first_byte":           {time.Minute, 90 * time.Second, 2, 0},
		"one of ten, until timeouts.first_byte":     {time.Minute, 90 * time.Second, 10, 0},
		"half, where answers take longer than hold": {time.Minute, 2 * time.Minute, 2, 6 * time.Second},
		"half, until their clients have left":       {5 * time.Second, 20 * time.Second, 2, 0},
		"half, for ever":                            {time.Hour, 90 * time.Second, 2, 0},
		"two of three, and clients leave earlier":   {2 * time.Second, 20 * time.Second, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
			d.tells, d.takes = true, tt.takes
			d.serve(5*time.Second + 5*tt.takes)
			d.hangs, d.but, d.patient = "2", tt.but, tt.patient
			d.did(d.p.Route(d.now, two, judged, false))
			for end := d.now.Add(tt.within); d.p.Rollout().Cause == ""; {
				require.True(t, d.now.Before(end), "%+v", d.p.Rollout())
				d.serve(100 * time.Millisecond)
				require.LessOrEqual(t, d.running()["2"], 1)
			}
			require.Equal(t, rollout.Hangs, d.p.Rollout().Cause)
			require.LessOrEqual(t, d.gaveUp, 2*10, "what one instance holds, twice")
			if tt.patient < time.Hour {
				d.serve(tt.patient)
				require.Equal(t, map[string]int{"1": deployed}, d.running())
			}
		})
	}
}

// What old and new code do not answer alike is no fault of the new one, nor is that it takes longer than the old one did.
func TestAVersionThatIsAsSilentAsTheOldOne(t *testing.T) {
	d := deploy(t, true, nil)
	d.tells = true
	d.serve(5 * time.Second)
	d.hangs, d.but, d.patient = everywhere, 2, time.Hour
	d.did(d.p.Route(d.now, two, judged, false))
	d.serve(90 * time.Second)
	require.Empty(t, d.p.Rollout().Cause)
	d.hangs = ""
	d.serve(20 * time.Second)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// Code is not given up because it is slower, where nobody asks for that, but it has shown that it answers before it replaces the other.
func TestAVersionThatIsMuchSlower(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	d.tells = true
	d.serve(5 * time.Second)
	d.takes, d.slower = 10*time.Second, "2"
	d.did(d.p.Route(d.now, two, judged, false))
	d.serve(8 * time.Second)
	require.Equal(t, 1, d.running()["2"])
	d.serve(3 * time.Minute)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// Where many requests take longer than timeouts.first_byte they are uploads, during which that does not run.
func TestAVersionThatGetsUploadsFirst(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = 2 * time.Second })
	d.takes = 10 * time.Second
	d.serve(time.Minute)
	d.did(d.p.Route(d.now, two, held, false))
	d.serve(time.Minute)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// impatient lets requests end and come for that long. Both versions answer in 0.2 s, but one of slow requests takes version 2 1.5 s, and of
// one of leave the client leaves after 0.2 s. Peers for which tells is false do not say what they have not answered.
func (d *deployment) impatient(for_ time.Duration, leave, slow int, tells func(*pool.Instance) bool) {
	which, dice := map[*pool.Request]int{}, rand.New(rand.NewPCG(1, 1))
	for end := d.now.Add(for_); d.now.Before(end); {
		d.run(100*time.Millisecond, nil)
		for k, r := range d.busy {
			if i := r.Instance(); r.State() == pool.Leased {
				n, known := which[r]
				if !known {
					n = dice.IntN(1000)
					which[r] = n
				}
				leaves, wait := leave > 0 && n < 1000/max(leave, 1), 200*time.Millisecond
				if i.Version() == "2" && !leaves && n%slow == slow-1 {
					wait = 1500 * time.Millisecond
				}
				switch {
				case d.now.Sub(r.Arrived()) < wait:
					continue
				case leaves:
					d.open[i]++
				default:
					d.reports(i, 1, 0)
				}
				d.release(r)
			}
			d.busy[k] = d.acquire()
		}
		for i := range d.p.Instances() {
			if n := i.InFlight(); i.State() == pool.Ready && tells(i) {
				d.p.Unanswered(i, d.open[i]+uint64(n), n)
				d.did(d.p.Report(d.now, i, n, pool.DefaultDelay))
			}
		}
		d.comeUp()
		d.endDrained()
	}
}

// Clients that leave either version before it answers are no sign that the new one hangs, however slow it is.
func TestAVersionWhoseClientsLeave(t *testing.T) {
	for _, most := range []float64{0.01, 0.1, 0.2} {
		for _, leave := range []int{3, 4, 10} {
			for _, slow := range []int{1, 2, 10} {
				d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
				all := func(*pool.Instance) bool { return true }
				d.impatient(10*time.Second, leave, slow, all)
				d.did(d.p.Route(d.now, two, rollout.Plan{Hold: 3 * time.Second, MaxErrors: most}, false))
				d.impatient(90*time.Second, leave, slow, all)
				require.Empty(t, d.p.Rollout().Cause, "1 of %d leaves, 1 of %d is slow, %v", leave, slow, most)
			}
		}
	}
}

// Nor is what clients have left long before, where a version that has a share gets a larger one.
func TestAShareThatGrowsHasNoPast(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte, s.Scaling.Min = time.Minute, deployed })
	all := func(*pool.Instance) bool { return true }
	d.did(d.p.Route(d.now, pool.Route{Version: "1", Extra: "2", Share: 0.2}, rollout.Plan{}, false))
	d.impatient(30*time.Second, 0, 4, all)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
	for i := range d.p.Instances() {
		d.open[i] = 5000
	}
	d.impatient(time.Second, 0, 4, all)
	d.did(d.p.Route(d.now, pool.Route{Version: "1", Extra: "2", Share: 0.6}, rollout.Plan{Hold: 30 * time.Second, MaxErrors: 0.1}, false))
	d.impatient(time.Minute, 0, 2, all)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}

// Peers of an earlier build do not say what they have not answered, so there is nothing to compare the new version with.
func TestAVersionAfterPeersThatSayNothing(t *testing.T) {
	d := deploy(t, true, func(s *pool.Settings) { s.FirstByte = time.Minute })
	newOnes := func(i *pool.Instance) bool { return i.Version() == "2" }
	d.impatient(10*time.Second, 3, 2, newOnes)
	d.did(d.p.Route(d.now, two, judged, false))
	d.impatient(time.Minute, 3, 2, newOnes)
	require.Equal(t, rollout.Done, d.p.Rollout().Phase)
}
