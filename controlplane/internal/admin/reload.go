package admin

import (
	"io"
	"net/http"
	"time"
)

// A Reload is how the configuration was last read again.
type Reload struct {
	At      time.Time `json:"at"`            // the last try, the start included
	TakenAt time.Time `json:"taken_at"`      // the last one that was taken
	Refused string    `json:"refused"`       // why the last one was not; empty: it was
	Changed []string  `json:"changed"`       // keys that the last one changed
	Restart []string  `json:"needs_restart"` // keys that differ in the file, and are used after a restart

	Taken, NotTaken uint64 `json:"-"` // tries
}

// A Reloader reads the configuration again.
type Reloader interface {
	// Reload does so now, and returns what came of it. A configuration that is not taken changes nothing.
	Reload(why string) Reload
	Last() Reload
}

// reload has the configuration read again by POST, and shows the result of the last time by GET.
func reload(r Reloader) http.Handler {
	return methods(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodPost {
			answer(w, filled(r.Last()))
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			fail(w, http.StatusRequestEntityTooLarge, unreadBody)
			return
		}
		if last := filled(r.Reload("an operator asks for it")); last.Refused == "" {
			answer(w, last)
		} else {
			fail(w, http.StatusBadRequest, last.Refused)
		}
	}, http.MethodGet, http.MethodHead, http.MethodPost)
}

func filled(r Reload) Reload {
	r.Changed, r.Restart = orEmpty(r.Changed), orEmpty(r.Restart)
	r.At, r.TakenAt = r.At.UTC(), r.TakenAt.UTC()
	return r
}

func newReloadCollector(last func() Reload) collector {
	successful := gauge("config_last_reload_successful", "0 while the configuration file holds something that was not taken.")
	takenAt := gauge("config_last_reload_success_timestamp_seconds", "When a configuration was last taken, in seconds since 1970; the start counts.")
	tries := counter("config_reloads_total", "How often the configuration was read again: taken or refused.", "outcome")
	restart := gauge("config_needs_restart", "Keys that differ in the configuration file, and are used after a restart only.")
	return collector{[]metric{successful, takenAt, tries, restart}, func(s sink) {
		r := last()
		s.put(successful, flag(r.Refused == ""))
		s.put(takenAt, float64(r.TakenAt.UnixMilli())/1000)
		s.put(tries, float64(r.Taken), "taken")
		s.put(tries, float64(r.NotTaken), "refused")
		s.put(restart, float64(len(r.Restart)))
	}}
}
