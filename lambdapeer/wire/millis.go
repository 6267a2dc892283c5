package wire

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Millis is a duration that travels as a JSON number of whole milliseconds, never negative. What is below a millisecond
// is cut off when it is written.
type Millis time.Duration

const maxMillis = math.MaxInt64 / int64(time.Millisecond)

// Duration returns m as a time.Duration.
func (m Millis) Duration() time.Duration { return time.Duration(m) }

// String returns m as time.Duration does: "1.5s".
func (m Millis) String() string { return m.Duration().String() }

// MarshalJSON writes whole milliseconds. A negative duration is an error.
func (m Millis) MarshalJSON() ([]byte, error) {
	if m < 0 {
		return nil, fmt.Errorf("milliseconds: %v is negative", m.Duration())
	}
	return strconv.AppendInt(nil, m.Duration().Milliseconds(), 10), nil
}

// UnmarshalJSON accepts a whole number of milliseconds that a time.Duration can hold, and nothing else: no null, no
// fraction, no exponent.
func (m *Millis) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return fmt.Errorf("milliseconds: %.40q is not a whole number", data)
	}
	if n < 0 || n > maxMillis {
		return fmt.Errorf("milliseconds: %d is not within 0 and %d", n, maxMillis)
	}
	*m = Millis(time.Duration(n) * time.Millisecond)
	return nil
}
