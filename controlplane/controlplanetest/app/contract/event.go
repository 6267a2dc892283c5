package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// An Event is something that the app saw. Requests with a ?key= are recorded under it, in memory (GET /events?key=) and,
// as one line of JSON, in the file that APP_EVENTS names.
type Event struct {
	Time        time.Time `json:"time"`
	Key         string    `json:"key"`
	Name        Name      `json:"name"`
	Detail      string    `json:"detail,omitempty"` // the error, for people
	InFlight    int64     `json:"in_flight"`        // at that time, this request included
	Environment string    `json:"environment"`
	Pid         int       `json:"pid"`
}

// A Name says what happened.
type Name string

// Names of events.
const (
	Started   Name = "started"    // the request arrived
	Cancelled Name = "cancelled"  // the request's context ended before its handler did
	Finished  Name = "finished"   // the handler returned, and nothing cancelled it
	Aborted   Name = "aborted"    // the handler gave up, and nothing cancelled it
	CleanEOF  Name = "clean_eof"  // /upload-cancel: the body ended as it should
	ReadError Name = "read_error" // /upload-cancel: the body broke off
	Frozen    Name = "frozen"
	Thawed    Name = "thawed"
)

// FreezeKey is the key under which the app records what it hears of freezes: Frozen when one is about to come, and Thawed.
const FreezeKey = "freeze"

// InFlightKey is the key under which every request, with or without a key of its own, is recorded in the file (only):
// one event when it starts and one when it ends.
const InFlightKey = "max_in_flight"

// ReadEvents returns the events of a file in the order in which they were written, all of them or those of one key. A file
// that does not exist yet has none; the half line of a process that was killed is left out.
func ReadEvents(path, key string) ([]Event, error) {
	file, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return decodeEvents(file, key)
}

func decodeEvents(file []byte, key string) ([]Event, error) {
	var events []Event
	for number := 1; ; number++ {
		line, rest, complete := bytes.Cut(file, []byte("\n"))
		if !complete {
			return events, nil
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if key == "" || e.Key == key {
			events = append(events, e)
		}
		file = rest
	}
}

// MaxInFlight returns, by environment, how many requests were ever in flight at once according to a file of events.
func MaxInFlight(path string) (map[string]int64, error) {
	events, err := ReadEvents(path, InFlightKey)
	if err != nil {
		return nil, err
	}
	highest := make(map[string]int64)
	for _, e := range events {
		highest[e.Environment] = max(highest[e.Environment], e.InFlight)
	}
	return highest, nil
}
