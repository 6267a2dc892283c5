// Package recording reads when requests came and how long they took, from access logs of an Application Load Balancer and from exports of
// CloudWatch. Errors name file and line.
package recording

import (
	"errors"
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
)

// A Recording is what was read.
type Recording struct {
	Traffic       estimate.Traffic
	Requests      int           // that a target served
	Latency       time.Duration // mean; 0: not known
	RequestBytes  float64       // mean; negative: not known
	ResponseBytes float64
	Notes         []string // what a reader should know of it
}

// longest is the longest time that a recording may span.
const longest = 62 * 24 * time.Hour

func checkSpan(from, to time.Time) error {
	if span := to.Sub(from); span > longest {
		return fmt.Errorf("from %s to %s is %.0f days, at most %.0f are read", from.Format(time.DateOnly), to.Format(time.DateOnly),
			span.Hours()/24, longest.Hours()/24)
	}
	return nil
}

// shortest is the shortest recording that a month is estimated from.
const shortest = time.Minute

var errNone = errors.New("no request in it that a target served")

// short returns a note that a recording is shorter than a week; nil if it is not.
func short(span time.Duration) []string {
	if span >= 7*24*time.Hour {
		return nil
	}
	return []string{fmt.Sprintf("The recording spans %s. The month is taken to go on like it: a whole week says more.", span.Round(time.Minute))}
}
