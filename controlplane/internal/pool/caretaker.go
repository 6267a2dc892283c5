package pool

import "time"

// LeaderWithin is how long a caretaker holds a request until there is a leader. The lease of a leader that hangs expires after five
// seconds, and one that no relay reaches gives way after twelve. Then a standby must notice that, take over, and be noticed by Envoy.
// Most clients would rather wait so long than get an error.
const LeaderWithin = 20 * time.Second

// Caretaker returns the settings of a pool that serves requests by the instances of others while nobody leads: it learns, keeps and
// starts nothing.
func (s Settings) Caretaker() Settings {
	s.Learn, s.Linger = false, 0
	s.Scaling.Min, s.Scaling.StartsInProgress, s.Scaling.Environments = 0, 0, 0
	if s.QueueTimeout == 0 || s.QueueTimeout > LeaderWithin {
		s.QueueTimeout = LeaderWithin
	}
	return s
}
