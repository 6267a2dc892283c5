package baseline

import (
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// seconds is the longest time that an average is over.
const seconds = 60

// An average remembers a level for a minute, second by second.
type average struct {
	sums  [seconds]float64 // level times seconds, in the second that is index modulo 60
	at    time.Time
	from  time.Time
	level float64
}

// observe notes the level from now on.
func (a *average) observe(now time.Time, level int) {
	if a.at.IsZero() {
		a.at, a.from = now, now
	}
	for a.at.Before(now) {
		next := a.at.Truncate(time.Second).Add(time.Second)
		if next.After(now) {
			next = now
		}
		k := a.at.Unix() % seconds
		if a.at.Equal(a.at.Truncate(time.Second)) {
			a.sums[k] = 0
		}
		a.sums[k] += a.level * next.Sub(a.at).Seconds()
		a.at = next
	}
	a.level = float64(level)
}

// over returns the mean of the last n whole seconds, or of all seconds if there were fewer.
func (a *average) over(n int) float64 {
	have := min(n, int(a.at.Sub(a.from.Truncate(time.Second)).Seconds()))
	if have == 0 {
		return a.level
	}
	sum := 0.0
	for k := 1; k <= have; k++ {
		sum += a.sums[(a.at.Unix()-int64(k)+seconds)%seconds]
	}
	return sum / float64(have)
}

// Knative's defaults, knative.dev/docs/serving/autoscaling/kpa-specific and its config-autoscaler.
const (
	kpaTick       = 2 * time.Second
	kpaStable     = 60 // seconds
	kpaPanic      = 6  // 10 % of it
	kpaTarget     = 0.7
	kpaThreshold  = 2.0
	kpaUpRate     = 1000.0
	kpaDownRate   = 2.0
	kpaZeroGrace  = 30 * time.Second
	kpaPanicLasts = kpaStable * time.Second
)

// kpa is the rule of the Knative Pod Autoscaler. It wants as many pods as the mean concurrency of the last minute needs. It panics while
// the last six seconds need twice what there is, and then wants what these need.
type kpa struct {
	load     average
	due      time.Time
	panics   time.Time // since when; zero: it does not
	mostPods int       // while it panics
	desired  int
	zeroFrom time.Time
}

// KPA returns Knative's rule.
func KPA(scaler.Settings) scaler.Rule { return &kpa{} }

func (k *kpa) Decide(now time.Time, s *scaler.State) scaler.Want {
	k.load.observe(now, s.Leased+s.Waiting)
	fromZero := s.Waiting > 0 && s.Ready+s.Starting == 0 // the activator asks at once
	if now.Before(k.due) && !fromZero {
		if k.desired > s.Ready+s.Starting && s.Waiting > 0 {
			return scaler.Want{Start: k.desired - s.Ready - s.Starting} // what was started is gone
		}
		return scaler.Want{}
	}
	if !now.Before(k.due) {
		k.due = now.Add(kpaTick)
	}
	k.desired = k.decide(now, s)
	if fromZero {
		k.desired = max(1, k.desired)
	}
	return toward(s, k.desired)
}

func (k *kpa) decide(now time.Time, s *scaler.State) int {
	ready := float64(max(1, s.Ready))
	up, down := ceil(kpaUpRate*ready), 0
	if s.Ready > 0 {
		down = int(float64(s.Ready) / kpaDownRate)
	}
	target := kpaTarget * float64(s.Concurrency)
	stable := min(max(ceil(k.load.over(kpaStable)/target), down), up)
	panicking := min(max(ceil(k.load.over(kpaPanic)/target), down), up)
	if float64(ceil(k.load.over(kpaPanic)/target))/ready >= kpaThreshold {
		if k.panics.IsZero() {
			k.mostPods = 0
		}
		k.panics = now
	} else if !k.panics.IsZero() && now.Sub(k.panics) > kpaPanicLasts {
		k.panics = time.Time{}
	}
	desired := stable
	if !k.panics.IsZero() {
		k.mostPods = max(k.mostPods, stable, panicking)
		desired = k.mostPods
	}
	return k.grace(now, desired, s)
}

// grace keeps the last pod for a grace period before it allows none.
func (k *kpa) grace(now time.Time, desired int, s *scaler.State) int {
	if desired > 0 || s.Ready == 0 {
		k.zeroFrom = time.Time{}
		return desired
	}
	if k.zeroFrom.IsZero() {
		k.zeroFrom = now
	}
	if now.Sub(k.zeroFrom) < kpaZeroGrace {
		return 1
	}
	return 0
}

func (k *kpa) Next() time.Time {
	if k.desired == 0 && k.load.level == 0 {
		return time.Time{}
	}
	return k.due
}

// utilization is a rule that keeps the mean concurrency of the last minute at 60 % of capacity, and starts for waiters at once.
type utilization struct {
	load    average
	due     time.Time
	desired int
	level   int
}

// Utilization returns the rule that Cloud Run describes, cloud.google.com/run/docs/about-instance-autoscaling.
func Utilization(scaler.Settings) scaler.Rule { return &utilization{} }

const runTarget = 0.6

func (u *utilization) Decide(now time.Time, s *scaler.State) scaler.Want {
	u.level = s.Leased + s.Waiting
	u.load.observe(now, u.level)
	w := scaler.Want{Start: ceil(float64(max(0, s.Waiting-s.Free-s.Starting*s.Concurrency)) / float64(s.Concurrency))}
	if now.Before(u.due) {
		return w
	}
	u.due = now.Add(time.Second)
	u.desired = ceil(u.load.over(seconds) / (runTarget * float64(s.Concurrency)))
	toward := toward(s, u.desired)
	return scaler.Want{Start: max(w.Start, toward.Start), Replace: toward.Replace, Drain: min(s.Idle, toward.Drain)}
}

func (u *utilization) Next() time.Time {
	if u.desired == 0 && u.level == 0 {
		return time.Time{}
	}
	return u.due
}
