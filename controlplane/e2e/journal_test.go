package e2e_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/contract"
)

// A journal is the file in which every process of the app records what it sees of requests with a ?key=.
type journal string

// keepJournal makes all functions of a stack that is yet to start record into one journal.
func keepJournal(t *testing.T, o *controlplanetest.Options) journal {
	j := journal(filepath.Join(t.TempDir(), "events"))
	for _, f := range o.Functions {
		f.Local.Env[contract.EventsVariable] = string(j)
	}
	return j
}

func (j journal) of(t *testing.T, key string) []contract.Event {
	t.Helper()
	events, err := contract.ReadEvents(string(j), key)
	require.NoError(t, err)
	return events
}

// names are the events of a key, in order.
func (j journal) names(t *testing.T, key string) []contract.Name {
	t.Helper()
	names := []contract.Name{}
	for _, e := range j.of(t, key) {
		names = append(names, e.Name)
	}
	return names
}

// eventually waits for an event and returns it.
func (j journal) eventually(s site, key string, name contract.Name) contract.Event {
	s.t.Helper()
	var event contract.Event
	s.Eventually(fmt.Sprintf("%s recorded under %s", name, key), func() error {
		events := j.of(s.t, key)
		at := slices.IndexFunc(events, func(e contract.Event) bool { return e.Name == name })
		if at < 0 {
			return fmt.Errorf("recorded: %v", events)
		}
		event = events[at]
		return nil
	})
	return event
}
