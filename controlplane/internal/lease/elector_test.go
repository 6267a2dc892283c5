package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// A memory is a store of one process.
type memory struct {
	mu     sync.Mutex
	record Record
}

func (m *memory) Read(context.Context) (Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Found{Record: m.record}, nil
}

func (m *memory) Swap(_ context.Context, seen uint64, next Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.record.Version != seen {
		return &ConflictError{Now: m.record}
	}
	m.record = next
	return nil
}

// candidacy lets an Elector run until stop is called. Its leader does nothing.
func candidacy(t *testing.T, e *Elector) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx, func(term context.Context, _ uint64, _ []string) { <-term.Done() })
	}()
	return func() {
		cancel()
		<-ended
	}
}

// Nothing else in the log of such a leader tells why it has ended, because no relay was ever there to be lost.
func TestALeaderSaysWhyItGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, said := logtest.NewNullLogger()
		e := NewElector("c0", "", &memory{record: Record{Version: 1, Term: 1, Relays: []string{"p"}}}, log)
		e.Remote()
		stop := candidacy(t, e)
		time.Sleep(Patience + 2*Renew)
		stop()
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

// A moody store fails as it is told.
type moody struct {
	memory
	calls int
	fails atomic.Value // func(call int) error
}

func (m *moody) try() error {
	m.calls++
	return m.fails.Load().(func(int) error)(m.calls)
}

func (m *moody) Read(ctx context.Context) (Found, error) {
	if err := m.try(); err != nil {
		return Found{}, err
	}
	return m.memory.Read(ctx)
}

func (m *moody) Swap(ctx context.Context, seen uint64, next Record) error {
	if err := m.try(); err != nil {
		return err
	}
	return m.memory.Swap(ctx, seen, next)
}

// A store that is full or throttles for hours does not fill the log, and it is said when it is well again.
func TestAStoreThatFailsIsSpokenOfNowAndThen(t *testing.T) {
	full := errors.New("no space left on device")
	for name, c := range map[string]struct {
		fails func(call int) error
		most  int // in three minutes
	}{
		"all the time":      {func(int) error { return full }, 3},
		"every second time": {func(call int) error { return map[int]error{0: full}[call%2] }, 3},
		"with other words":  {func(call int) error { return fmt.Errorf("read tcp 127.0.0.1:%d: timeout", 30_000+call) }, 36},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, said := logtest.NewNullLogger()
				store, never := &moody{}, func(int) error { return nil }
				store.fails.Store(never)
				e := NewElector("c0", "", store, log)
				stop := candidacy(t, e)
				synctest.Wait()
				said.Reset()
				store.fails.Store(c.fails)
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				warned, well := 0, 0
				count := func() {
					for _, entry := range said.AllEntries() {
						switch {
						case strings.Contains(entry.Message, "cannot be read or renewed"):
							warned++
						case strings.Contains(entry.Message, "can be read and renewed again"):
							well++
						}
					}
				}
				count()
				require.Positive(t, warned)
				require.LessOrEqual(t, warned, c.most)
				require.Zero(t, well)
				store.fails.Store(never)
				time.Sleep(time.Minute)
				synctest.Wait()
				count()
				require.Equal(t, 1, well)
				stop()
			})
		})
	}
}
