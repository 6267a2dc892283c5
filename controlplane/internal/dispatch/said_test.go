package dispatch

import (
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
)

// The operator reads what Lambda said, in one line of bounded length.
func TestBlockedSaysWhatLambdaSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 1 })
		id := w.instances()[0]
		said := "AccessDeniedException:\n\tnot authorized " + strings.Repeat("é", 2000)
		w.end(id, provider.End{Cause: scaler.Denied, Detail: said, NeverRan: true})
		detail := w.Functions()[0].BlockedDetail
		require.Regexp(t, `^starts fail: denied; the next one may be tried in \S+; the last failure: AccessDeniedException: not authorized`, detail)
		require.Less(t, len(detail), 700)
		require.NoError(t, w.RetryFunction("web"))
		require.Empty(t, w.Functions()[0].BlockedDetail)
	})
}

// Of a burst that fails for several causes, it is the failure of the one that blocks.
func TestBlockedRepeatsTheFailureOfItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(f *config.Function) { f.Scaling.Min = 2 })
		ids := w.instances()
		w.end(ids[0], provider.End{Cause: scaler.Denied, Detail: "not authorized", NeverRan: true})
		w.end(ids[1], provider.End{Cause: scaler.Network, Detail: "connection refused", NeverRan: true})
		f := w.Functions()[0]
		require.Equal(t, "denied", f.Blocked)
		require.Contains(t, f.BlockedDetail, "not authorized")
		require.NotContains(t, f.BlockedDetail, "connection refused")
	})
}

func TestOneLineIsShortAndWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringN(0, 2*maxSaid, -1).Draw(t, "s")
		line := oneLine(s)
		require.LessOrEqual(t, len(line), maxSaid+len("…"))
		require.True(t, utf8.ValidString(line))
		require.NotContains(t, line, "\n")
	})
}
