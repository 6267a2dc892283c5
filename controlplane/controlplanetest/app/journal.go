package main

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// A journal keeps events in memory for requests to this process, and in a file that all processes share, so that a test
// can read them without having to reach the same process again.
type journal struct {
	environment string
	pid         int
	file        *os.File // nil without APP_EVENTS

	mu     sync.Mutex // guards the fields below
	events []contract.Event
	failed error // the first failed write to file
}

// openJournal writes no file when path is empty.
func openJournal(path, environment string) (*journal, error) {
	j := &journal{environment: environment, pid: os.Getpid()}
	if path == "" {
		return j, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	j.file = file
	return j, nil
}

// record keeps an event in memory and in the file.
func (j *journal) record(e contract.Event) {
	e = j.stamp(e)
	j.mu.Lock()
	j.events = append(j.events, e)
	j.mu.Unlock()
	j.append(e)
}

// write puts an event into the file only.
func (j *journal) write(e contract.Event) {
	if j.file != nil {
		j.append(j.stamp(e))
	}
}

func (j *journal) stamp(e contract.Event) contract.Event {
	e.Time, e.Environment, e.Pid = time.Now(), j.environment, j.pid
	return e
}

// append makes one write of each line: with O_APPEND, lines of several processes do not mix.
func (j *journal) append(e contract.Event) {
	if j.file == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil {
		j.mu.Lock()
		j.failed = errors.Join(j.failed, err)
		j.mu.Unlock()
	}
}

// byKey returns what this process recorded under a key, and an error if the file does not hold all of it.
func (j *journal) byKey(key string) ([]contract.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	found := []contract.Event{}
	for _, e := range j.events {
		if e.Key == key {
			found = append(found, e)
		}
	}
	return found, j.failed
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // every write went through already
	}
}
