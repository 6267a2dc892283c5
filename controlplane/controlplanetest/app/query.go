package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A query reads parameters and remembers the first that is wrong, so that a route asks once, after all of them.
type query struct {
	values url.Values
	err    error
}

func queryOf(r *http.Request) *query { return &query{values: r.URL.Query()} }

// whole reads a whole number from 0 to most.
func (q *query) whole(name string, byDefault, most int64) int64 {
	text := q.values.Get(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if (err != nil || n < 0 || n > most) && q.err == nil {
		q.err = fmt.Errorf("%s: must be a whole number from 0 to %d, got %q", name, most, text)
	}
	return n
}

// millis reads a duration of at most an hour.
func (q *query) millis(name string, byDefault int64) time.Duration {
	return time.Duration(q.whole(name, byDefault, time.Hour.Milliseconds())) * time.Millisecond
}

func (q *query) flag(name string) bool { return q.values.Get(name) == "true" }

// failed answers 400 if a parameter was wrong.
func (q *query) failed(w http.ResponseWriter) bool {
	if q.err != nil {
		http.Error(w, q.err.Error(), http.StatusBadRequest)
	}
	return q.err != nil
}

// pause waits, and reports false if the client left first.
func pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}
