package lease

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// A memory is a store of one process.
type memory struct{ record Record }

func (m *memory) Read(context.Context) (Found, error) { return Found{Record: m.record}, nil }

func (m *memory) Swap(_ context.Context, seen uint64, next Record) error {
	if m.record.Version != seen {
		return &ConflictError{Now: m.record}
	}
	m.record = next
	return nil
}

// Nothing else in the log of such a leader tells why it has ended, because no relay was ever there to be lost.
func TestALeaderSaysWhyItGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		e := NewElector("c0", "", &memory{Record{Version: 1, Term: 1, Relays: []string{"p"}}}, log)
		e.Remote()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			e.Run(ctx, func(term context.Context, _ uint64, _ []string) { <-term.Done() })
		}()
		time.Sleep(Patience + 2*Renew)
		cancel()
		<-ended
		count := 0
		for _, entry := range said.AllEntries() {
			if entry.Level == logrus.WarnLevel && strings.Contains(entry.Message, "gives way") {
				count++
				require.EqualValues(t, 2, entry.Data["term"])
			}
		}
		require.Equal(t, 1, count)
	})
}
