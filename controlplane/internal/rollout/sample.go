package rollout

import (
	"math"
	"time"
)

// How many answers and requests are enough to judge by.
const (
	enoughAnswers = 20
	enoughErrors  = 3
	enoughTimes   = 200
	fewTimes      = 20
	manyTimes     = 4000
)

// Times are counted in steps of a fifth, from a millisecond up to half an hour.
const (
	timeGrowth  = 1.2
	timeBuckets = 80
)

// slowAnyway is a difference that is too short to matter, whatever the ratio.
const slowAnyway = 50 * time.Millisecond

// A Sample is how one version has served.
type Sample struct {
	answers, errors uint64
	times           uint64
	buckets         [timeBuckets]uint32
}

func (s *Sample) answered(answers, errors uint64) {
	s.answers += answers
	s.errors += errors
}

func (s *Sample) took(d time.Duration) {
	k := 0
	if d > time.Millisecond {
		k = int(math.Log(float64(d)/float64(time.Millisecond)) / math.Log(timeGrowth))
	}
	s.buckets[min(k, timeBuckets-1)]++
	s.times++
}

// Took says how long a request was in flight. Of many, the earlier ones count less and less.
func (s *Sample) Took(d time.Duration) {
	if s.times >= manyTimes {
		s.times = 0
		for k := range s.buckets {
			s.buckets[k] /= 2
			s.times += uint64(s.buckets[k])
		}
	}
	s.took(d)
}

// Answers is how many answers the peers have counted, and how many of them were 5xx.
func (s *Sample) Answers() (answers, errors uint64) { return s.answers, s.errors }

// ErrorShare is the part of the answers that were 5xx.
func (s *Sample) ErrorShare() float64 {
	if s.answers == 0 {
		return 0
	}
	return float64(s.errors) / float64(s.answers)
}

// P99 is how long 99 of 100 requests took at most, a fifth more perhaps; 0 before there were enough to say.
func (s *Sample) P99() time.Duration {
	if s.times < enoughTimes {
		return 0
	}
	return s.p99()
}

// Usual is P99 from fewer requests, so that it may be what the longest one took; 0 before there were enough to say.
func (s *Sample) Usual() time.Duration {
	if s.times < fewTimes {
		return 0
	}
	return s.p99()
}

func (s *Sample) p99() time.Duration {
	beyond := s.times / 100
	for k := timeBuckets - 1; k > 0; k-- {
		if n := uint64(s.buckets[k]); n > beyond {
			return time.Duration(float64(time.Millisecond) * math.Pow(timeGrowth, float64(k+1)))
		} else {
			beyond -= n
		}
	}
	return time.Millisecond
}

// fails reports whether more of the answers are errors than of the old version's, by so much.
func (s *Sample) fails(old Sample, most float64) bool {
	return most > 0 && s.answers >= enoughAnswers && s.errors >= enoughErrors && s.ErrorShare() > old.ErrorShare()+most
}

// slower reports whether requests take so many times as long as on the old version.
func (s *Sample) slower(old Sample, most float64) bool {
	now, then := s.P99(), old.P99()
	return most > 0 && now > 0 && then > 0 && now > then+slowAnyway && float64(now) > most*float64(then)
}
