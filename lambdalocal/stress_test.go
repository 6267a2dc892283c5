package lambdalocal_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// Every way in at once, with environments that are killed and limits that change: each invocation that started ends once,
// is billed once, and gives its room back.
func TestNothingIsLostUnderStress(t *testing.T) {
	t.Parallel()
	const room, callers, rounds = 8, 8, 8
	m := runWith(t, "runtime", func(c *lambdalocal.Config, f *lambdalocal.Function) {
		c.AccountConcurrency, c.Direct.Address = room, "127.0.0.1:0"
		twoVersions(f)
		impatient(f)
		f.Versions[0].ProvisionedConcurrency = 1
	})
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				m.anything(random)
			}
		})
	}
	all.Wait()
	m.reserve(nil)
	m.eventually("events done", func() bool { return m.events().Queued == 0 })
	m.eventually("all ended", func() bool { c := m.Counters("web"); return c.Started == c.Ended })

	c := m.Counters("web")
	require.Greater(t, c.Ended, callers)
	require.EqualValues(t, c.Ended, m.Ledger().Functions[0].Total.Requests)
	require.EqualValues(t, c.BilledMs, m.Ledger().Functions[0].Total.BilledMs)
	dropped := 0
	for _, n := range c.Events.Dropped {
		dropped += n
	}
	require.Equal(t, c.Events.Accepted, c.Events.Succeeded+dropped)

	for range room {
		all.Go(func() { _, _ = m.try(order{Do: "sleep", Ms: 500}) })
	}
	m.eventually("all room is there", func() bool { return m.Counters("web").Started == c.Started+room })
	all.Wait()
}

// anything does one thing, whose outcome does not matter.
func (m *machine) anything(random *rand.Rand) {
	ms := random.IntN(10)
	switch random.IntN(10) {
	case 0:
		if list := m.Environments(); len(list) > 0 {
			m.Kill(list[random.IntN(len(list))].ID)
		}
	case 1:
		_, _ = m.client.PutFunctionConcurrency(context.Background(),
			&lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("web"), ReservedConcurrentExecutions: aws.Int32(0)})
	case 2:
		m.reserve(nil)
	case 3:
		m.send(order{Do: []string{"sleep", "error", "exit"}[random.IntN(3)], Ms: ms})
	case 4:
		m.do("GET", "/web:live/", nil, nil)
	case 5:
		_, _ = m.try(order{Do: "exit", Ms: 1})
	default:
		_, _ = m.qualified([]string{"1", "2", "live", "$LATEST"}[random.IntN(4)], order{Do: "sleep", Ms: ms})
	}
}
