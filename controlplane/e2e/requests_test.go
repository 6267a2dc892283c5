package e2e_test

import "testing"

// What clients may ask, and what they must get. All of it runs against the same three instances: a request that did
// damage shows in the next ones.
func TestRequests(t *testing.T) {
	stack := startSites(t, nil)
	t.Run("events", func(t *testing.T) { eachWay(t, stack, eventsArriveAtOnce) })
	t.Run("targets", func(t *testing.T) { eachKind(t, stack, targetsAreExact) })
	t.Run("targets http2", func(t *testing.T) { eachWay(t, stack, libraryTargetsAreExact) })
	t.Run("strange targets", func(t *testing.T) { eachKind(t, stack, strangeTargetsAreExactOrRefused) })
	t.Run("long targets", func(t *testing.T) { eachWay(t, stack, longTargetsAreExact) })
	t.Run("request headers", func(t *testing.T) { eachWay(t, stack, requestHeadersAreExact) })
	t.Run("answer headers", func(t *testing.T) { eachWay(t, stack, answerHeadersAreExact) })
	t.Run("header limits", func(t *testing.T) { eachWay(t, stack, headersAboveTheLimitsAreRefused) })
	t.Run("huge headers", func(t *testing.T) { eachWay(t, stack, hugeHeadersHarmTheirClientOnly) })
	t.Run("semantics", func(t *testing.T) { eachWay(t, stack, semanticsAreKept) })
	t.Run("peer's own", func(t *testing.T) { eachKind(t, stack, peersAnswerNothingByThemselves) })
	t.Run("continue", func(t *testing.T) { eachKind(t, stack, continueIsForTheFunctionToSay) })
	t.Run("trailers", func(t *testing.T) { eachWay(t, stack, trailersPassBothWays) })
	t.Run("early hints", func(t *testing.T) { eachWay(t, stack, earlyHintsPass) })
	t.Run("forwarded", func(t *testing.T) { eachWay(t, stack, forwardedHeadersTellTheTruth) })
	t.Run("request ids", func(t *testing.T) { eachWay(t, stack, requestIDsAreMadeOrKept) })
	t.Run("hop by hop", func(t *testing.T) { eachKind(t, stack, hopByHopHeadersStay) })
	t.Run("reserved", func(t *testing.T) { eachWay(t, stack, reservedHeadersFromClientsAreRemoved) })
	t.Run("secrets", func(t *testing.T) { eachWay(t, stack, nothingInternalIsInAnswers) })
}
