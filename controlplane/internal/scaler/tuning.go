package scaler

import "time"

// A Preference says what to give up when cost and latency conflict.
type Preference string

// Preferences. The zero value is Balanced.
const (
	Cost     Preference = "cost"
	Balanced Preference = "balanced"
	Latency  Preference = "latency"
)

// A Tuning is what a preference means to Frugal. Users never see it; simulations vary it.
type Tuning struct {
	Restart  float64       // what having an instance again costs, in time that an idle one is kept, over that of a warm start
	Learn    bool          // keep idle instances as pauses have taught, and not always for as long as a restart costs
	Rise     float64       // start also for those who will come before the start is done: so many times as at the rate of the last moments
	Patience time.Duration // waiting for a slot of up to so long is preferred to a start
	Sigmas   float64       // headroom covers a rise of demand during a warm start that is so unlikely
	Headroom float64       // but no larger a part of what is in flight
	Foresee  float64       // being up before a crowd that comes at a beat may cost that part of its bill; 0: nothing
	Reserve  float64       // environments for warm starts beyond the recent peak, as a part of it and at least one; 0: none
}

// Tuning is what the preference means.
func (p Preference) Tuning() Tuning {
	switch p {
	case Cost:
		return Tuning{Restart: 1.5, Learn: true, Rise: 1, Patience: 30 * time.Millisecond}
	case Latency:
		return Tuning{Restart: 40, Learn: true, Rise: 4, Sigmas: 3.5, Headroom: 0.15, Foresee: 0.5, Reserve: 0.25}
	default:
		return Tuning{Restart: 3, Learn: true, Rise: 2, Sigmas: 2.3, Headroom: 0.02, Foresee: 0.05, Reserve: 0.1}
	}
}
