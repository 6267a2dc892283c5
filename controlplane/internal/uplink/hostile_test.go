package uplink

import (
	"context"
	"io"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
)

// A flood is the stream of a relay that sends as fast as it is read.
type flood struct {
	ctx     context.Context
	first   tables.Observed
	each    Up
	greeted bool
	read    atomic.Int64 // the reader may go on for a moment after Serve
}

func (f *flood) Send(*Down) error { return f.ctx.Err() }

func (f *flood) Recv() (*Up, error) {
	if f.ctx.Err() != nil {
		return nil, io.EOF
	}
	if !f.greeted {
		f.greeted = true
		return &Up{Observed: &f.first}, nil
	}
	f.read.Add(1)
	each := f.each
	return &each, nil
}

func hello(relay string) tables.Observed {
	return tables.Observed{Hello: &tables.Hello{Relay: relay, Boot: "b"}}
}

// What a relay sends costs its leader no more for being sent faster.
func TestARelayThatFloodsIsReadAtAPace(t *testing.T) {
	for name, c := range map[string]struct {
		size, most int
	}{
		"messages": {100, messagesAtOnce + 10*maxMessages},
		"bytes":    {1 << 20, (kibAtOnce + 10*maxKiB) / 1024},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLeader(&listener{}, quiet(t))
				l.Lead(1)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				f := &flood{ctx: ctx, first: hello("pair"), each: Up{Observed: &tables.Observed{}, size: c.size}}
				require.Error(t, l.Serve(ctx, f))
				require.InDelta(t, c.most, f.read.Load(), float64(c.most)/20)
				l.Resign()
			})
		})
	}
}

func TestARelayThatComesAgainAndAgainIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLeader(&listener{}, quiet(t))
		l.Lead(1)
		served := 0
		for range 10 * streamsAtOnce {
			ctx, cancel := context.WithCancel(t.Context())
			f := &flood{ctx: ctx, first: hello("pair")}
			time.AfterFunc(time.Microsecond, cancel)
			if err := l.Serve(ctx, f); err != ErrTooOften {
				served++
			}
			cancel()
		}
		require.InDelta(t, streamsAtOnce, served, 2)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Microsecond, cancel)
		require.NotErrorIs(t, l.Serve(ctx, &flood{ctx: ctx, first: hello("pair")}), ErrTooOften, "it may come again later")
		l.Resign()
	})
}

// With such a term no leader could ever follow this one.
func TestATermThatNobodyCanHaveHadEndsTheStreamAndNotTheLeader(t *testing.T) {
	p := &plane{}
	p.Leader = NewLeader(&p.listener, quiet(t))
	p.Lead(1)
	defer p.Resign()
	greeting := hello("pair")
	greeting.Term = math.MaxUint64
	require.ErrorIs(t, p.Serve(t.Context(), &flood{ctx: t.Context(), first: greeting}), ErrTerm)
	f := &flood{ctx: t.Context(), first: hello("pair"), each: Up{Observed: &tables.Observed{Term: 1 + maxAhead + 1}}}
	require.ErrorIs(t, p.Serve(t.Context(), f), ErrTerm)
	p.listener.mu.Lock()
	defer p.listener.mu.Unlock()
	require.Equal(t, []string{"attached pair", "detached pair"}, p.events)
}

func TestARelayWhoseSocketsAreElsewhereIsRefused(t *testing.T) {
	l := NewLeader(&listener{}, quiet(t))
	l.Sockets("/run/lambda-dispatch/e")
	l.Lead(1)
	defer l.Resign()
	greeting := hello("pair")
	greeting.Hello.Sockets = "/run/other/e"
	err := l.Serve(t.Context(), &flood{ctx: t.Context(), first: greeting})
	require.ErrorIs(t, err, ErrSockets)
	require.ErrorContains(t, err, "in /run/other/e, and not in /run/lambda-dispatch/e")
}

// A relay's certificate is one of that relay alone: with another's name it would end the other's stream.
func TestARelayMayNotTakeAnothersName(t *testing.T) {
	l := NewLeader(&listener{}, quiet(t))
	l.Lead(1)
	defer l.Resign()
	as := trust.Caller{ID: identity.ID{Domain: identity.Domain, Role: identity.Relay, Name: "one"}}
	ctx, cancel := context.WithCancel(peer.NewContext(t.Context(), &peer.Peer{AuthInfo: as}))
	err := l.Serve(ctx, &flood{ctx: ctx, first: hello("two")})
	require.Equal(t, codes.PermissionDenied, status.Code(err), "%v", err)
	require.Empty(t, l.Relays())
	time.AfterFunc(10*time.Millisecond, cancel)
	require.NotEqual(t, codes.PermissionDenied, status.Code(l.Serve(ctx, &flood{ctx: ctx, first: hello("one")})))
}

// A hasty control plane answers before it is greeted, and ends.
type hasty struct{}

func (hasty) Send(*Up) error       { return io.EOF }
func (hasty) Recv() (*Down, error) { return &Down{}, nil }

func TestAControlPlaneThatAnswersBeforeItIsGreetedIsNoStream(t *testing.T) {
	r := NewRelay(Options{Log: quiet(t)})
	err := r.attach(t.Context(), func(context.Context) (Stream[Up, Down], error) { return hasty{}, nil })
	require.ErrorIs(t, err, io.EOF)
}

func TestMessagesBeyondTheLimitsAreRefused(t *testing.T) {
	require.ErrorContains(t, codec{}.Unmarshal(make([]byte, tables.MaxMessage+1), new(Up)), "at most")
	many := Up{Register: make([]Registration, maxTogether+1)}
	require.ErrorContains(t, many.Validate(), "at most 32")
}
