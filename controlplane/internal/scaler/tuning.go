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

// A Tuning is what a preference means to Frugal. It is not configurable, but simulations vary it.
type Tuning struct {
	Restart  float64       // how long to keep an idle instance, in multiples of a warm start
	Learn    bool          // learn from pauses how long to keep idle instances, instead of always keeping them for Restart
	Rise     float64       // how many times the requests that the present rate brings during a start to start for as well
	Patience time.Duration // how long waiters wait for a slot to be given back before an instance is started for them
	Sigmas   float64       // the rise of demand during a warm start that headroom covers, in standard deviations
	Headroom float64       // the largest headroom, as a share of the requests in flight
	Foresee  float64       // the share of a crowd's bill that being up before it may cost; 0: crowds are not foreseen
	Reserve  float64       // environments in reserve beyond the recent peak, as a share of it, at least one; 0: only those of the peak that may be there, and no new ones; below 0: none
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
