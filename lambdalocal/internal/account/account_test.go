package account

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

func TestAReservationIsALimitAndAGuarantee(t *testing.T) {
	a := New(110)
	reserved, shared, other := a.Join(new(10)), a.Join(nil), a.Join(nil)
	for range 60 {
		require.Nil(t, shared.TryAcquire())
	}
	for range 40 {
		require.Nil(t, other.TryAcquire())
	}
	require.Equal(t, serviceerror.ReasonAccountLimit, shared.TryAcquire().Reason)
	for range 10 {
		require.Nil(t, reserved.TryAcquire(), "the others cannot take it")
	}
	require.Equal(t, serviceerror.ReasonFunctionLimit, reserved.TryAcquire().Reason)
	other.Release()
	require.Nil(t, shared.TryAcquire())
	reserved.Release()
	require.Nil(t, reserved.TryAcquire())
}

func TestZeroThrottlesAll(t *testing.T) {
	m := New(10).Join(nil)
	require.Nil(t, m.TryAcquire())
	require.Nil(t, m.Reserve(new(0)), "even in a small account")
	require.NotNil(t, m.TryAcquire())
	require.NotNil(t, m.Reserve(new(1)))
}

func TestReservationsLeaveAHundred(t *testing.T) {
	a := New(1000)
	one, two := a.Join(nil), a.Join(nil)
	require.Nil(t, one.Reserve(new(600)))
	require.NotNil(t, two.Reserve(new(301)))
	require.NotNil(t, two.Reserve(new(-1)))
	require.Nil(t, two.Reserve(new(300)))
	require.Nil(t, two.Reserve(new(300)), "again is no change")
	require.Equal(t, 100, a.Unreserved())
	require.Nil(t, one.Reserve(nil))
	require.Equal(t, 700, a.Unreserved())
	require.Equal(t, 300, *two.Reserved())
}

func TestNoLimitIsEverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 120
		a := New(limit)
		members := []*Member{a.Join(nil), a.Join(nil), a.Join(new(5))}
		busy := make([]int, len(members))
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			i := rapid.IntRange(0, len(members)-1).Draw(t, "member")
			if busy[i] > 0 && rapid.IntRange(0, 3).Draw(t, "release") == 0 {
				members[i].Release()
				busy[i]--
			} else if members[i].TryAcquire() == nil {
				busy[i]++
			}
			require.LessOrEqual(t, busy[0]+busy[1]+busy[2], limit)
			require.LessOrEqual(t, busy[2], 5)
			require.LessOrEqual(t, busy[0]+busy[1], limit-5)
		}
	})
}
