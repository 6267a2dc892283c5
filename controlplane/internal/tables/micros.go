package tables

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Micros is a duration that is sent as a whole number of microseconds.
type Micros time.Duration

const maxMicros = math.MaxInt64 / int64(time.Microsecond)

// Duration returns the same span of time.
func (m Micros) Duration() time.Duration { return time.Duration(m) }

// MarshalJSON implements json.Marshaler. A duration above 0 is never sent as 0.
func (m Micros) MarshalJSON() ([]byte, error) {
	n := time.Duration(m).Microseconds()
	if n == 0 && m > 0 {
		n = 1
	}
	return json.Marshal(n)
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Micros) UnmarshalJSON(data []byte) error {
	var n int64
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if n < -maxMicros || n > maxMicros {
		return fmt.Errorf("%d microseconds are too many", n)
	}
	*m = Micros(time.Duration(n) * time.Microsecond)
	return nil
}

// until is the time from now until a moment. It is at least a microsecond, because 0 means none. For the zero moment it is 0.
func until(now, moment time.Time) Micros {
	if moment.IsZero() {
		return 0
	}
	return Micros(max(moment.Sub(now), time.Microsecond))
}

// since is how long ago a moment was, at least a microsecond. For the zero moment it is 0.
func since(now, moment time.Time) Micros {
	if moment.IsZero() {
		return 0
	}
	return Micros(max(now.Sub(moment), time.Microsecond))
}

// from is the moment d after now; the zero moment if d is 0.
func from(now time.Time, d Micros) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return now.Add(d.Duration())
}
