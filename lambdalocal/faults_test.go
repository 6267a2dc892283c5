package lambdalocal_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

func TestInvocationsAreRefused(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	for kind, name := range map[lambdalocal.FaultKind]string{
		lambdalocal.FaultAccessDenied:   "AccessDeniedException",
		lambdalocal.FaultNotFound:       "ResourceNotFoundException",
		lambdalocal.FaultServiceError:   "ServiceException",
		lambdalocal.FaultInvalidContent: "InvalidRequestContentException",
		lambdalocal.FaultTooLarge:       "RequestTooLargeException",
	} {
		require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: kind, Function: "web", Message: "not you", Times: 1}))
		_, err := m.try(order{})
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "not you")
		m.invoke(order{})
		require.Equal(t, 1, m.Faults()[0].Struck)
	}
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultThrottle, Reason: "CallerRateLimitExceeded"}))
	for range 3 {
		_, err := m.try(order{})
		var throttled *types.TooManyRequestsException
		require.ErrorAs(t, err, &throttled)
		require.Equal(t, types.ThrottleReasonCallerRateLimitExceeded, throttled.Reason)
	}
	require.NoError(t, m.SetFaults())
	m.invoke(order{})
	require.Equal(t, 8, m.Counters("web").Faults)
	require.Equal(t, 6, m.Counters("web").Started)
}

func TestAFaultEndsWithItsTime(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultThrottle, For: 300 * time.Millisecond}))
	m.eventually("over", func() bool { return len(m.Faults()) == 0 })
	m.invoke(order{})
}

func TestTheCallersConnectionIsReset(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultReset, Times: 1}))
	_, err := m.try(order{})
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Zero(t, m.Counters("web").Started)

	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultAnswerLost, Times: 1, Delay: time.Millisecond}))
	_, err = m.try(order{Do: "sleep", Ms: 300})
	require.ErrorIs(t, err, syscall.ECONNRESET)
	m.eventually("the function ran on", func() bool { return m.Counters("web").Outcomes[lambdalocal.Succeeded] == 1 })
}

func TestAnAnswerThatComesEarly(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultAnswerEarly, Delay: time.Millisecond}))
	out := m.invoke(order{Do: "sleep", Ms: 500})
	require.Equal(t, "null", string(out.Payload))
	require.Zero(t, m.Counters("web").Ended, "the function runs on")
	m.eventually("ended", func() bool { return m.Counters("web").Outcomes[lambdalocal.Succeeded] == 1 })
}

func TestSlowInvocations(t *testing.T) {
	t.Parallel()
	const delay = 200 * time.Millisecond
	for _, kind := range []lambdalocal.FaultKind{lambdalocal.FaultSlowPlacement, lambdalocal.FaultSlowAnswer, lambdalocal.FaultColdStart} {
		m := run(t, "runtime", nil)
		require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: kind, Delay: delay}))
		began := time.Now()
		m.invoke(order{})
		took := time.Since(began)
		require.GreaterOrEqual(t, took, delay, kind)
		require.LessOrEqual(t, m.Counters("web").BilledMs, int((took-delay)/time.Millisecond)+1, "the wait is not the function's")
	}
}

func TestEnvironmentsAreKilledUnderTheirInvocations(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultKill, Delay: 10 * time.Millisecond, Every: 2}))
	m.invoke(order{Do: "sleep", Ms: 100})
	kind, _, _ := m.functionError(order{Do: "hang"})
	require.Equal(t, "Runtime.ExitError", kind)
	m.invoke(order{}) // the third is spared
	require.Equal(t, 2, m.Counters("web").Cold)
}

func TestAnInitThatFailsByAFault(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	require.NoError(t, m.SetFaults(lambdalocal.Fault{Kind: lambdalocal.FaultInitFailure, Times: 1}))
	kind, _, log := m.functionError(order{})
	require.Equal(t, "Runtime.ExitError", kind)
	require.Contains(t, log, "INIT_REPORT")
	m.invoke(order{})
}

func TestFaultsOverHTTP(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	url := m.InvokeURL() + "/lambdalocal/faults"
	status, answer := request(t, http.MethodPut, url, `[
		{"kind": "throttle", "function": "web", "reason": "ConcurrentInvocationLimitExceeded", "times": 2},
		{"kind": "slow_answer", "delay": "1.5s", "for": "1m", "probability": 0.5}]`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, m.Faults()[1].Fault, lambdalocal.Fault{Kind: lambdalocal.FaultSlowAnswer, Delay: 1500 * time.Millisecond, For: time.Minute, Probability: 0.5})
	_, err := m.try(order{})
	require.ErrorContains(t, err, "TooManyRequestsException")
	_, answer = request(t, http.MethodGet, url, "")
	require.JSONEq(t, `[
		{"id": 1, "struck": 1, "fault": {"kind": "throttle", "function": "web", "reason": "ConcurrentInvocationLimitExceeded", "times": 2}},
		{"id": 2, "struck": 0, "fault": {"kind": "slow_answer", "function": "", "delay": "1.5s", "for": "1m0s", "probability": 0.5}}]`, answer)

	status, answer = request(t, http.MethodPost, url, `{"kind": "not_found"}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, `"id": 3`)
	status, _ = request(t, http.MethodDelete, url+"/3", "")
	require.Equal(t, http.StatusNoContent, status)
	status, _ = request(t, http.MethodDelete, url+"/3", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Len(t, m.Faults(), 2)

	status, answer = request(t, http.MethodPut, url, `[{"kind": "reset"}, {"kind": "flood"}, {"kind": "kill", "function": "nobody", "times": -1}]`)
	require.Equal(t, http.StatusBadRequest, status)
	for _, mistake := range []string{"[1].kind: must be one of", "[2].function: must be", "[2].times: must not be negative"} {
		require.Contains(t, answer, mistake)
	}
	status, answer = request(t, http.MethodPost, url, `{"kind": "kil", "function": "wbe", "for": "10"}`)
	require.Equal(t, http.StatusBadRequest, status)
	var refused struct{ Errors []string }
	require.NoError(t, json.Unmarshal([]byte(answer), &refused))
	require.Len(t, refused.Errors, 3, "%s", answer)
	require.Equal(t, `for: must be a duration such as "1.5s", got "10"`, refused.Errors[0])
	require.Contains(t, refused.Errors[1], "kind: must be one of access_denied, ")
	require.Equal(t, `function: must be a function, or * for all, got "wbe"`, refused.Errors[2])
	_, answer = request(t, http.MethodPut, url, `{"kind": "kill"}`)
	require.Contains(t, answer, "must be a list of faults, got object")
	for _, nonsense := range []string{`[{"kind": "kill", "after": "1s"}]`, `[{"kind": "kill", "delay": "soon"}]`, `{`} {
		status, answer = request(t, http.MethodPut, url, nonsense)
		require.Equal(t, http.StatusBadRequest, status, answer)
	}
	require.Len(t, m.Faults(), 2, "a refused list changes nothing")
	status, _ = request(t, http.MethodDelete, url, "")
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, m.Faults())
	m.invoke(order{})
}

func request(t *testing.T, method, url, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.True(t, len(text) == 0 || json.Valid(text), "%s", text)
	return response.StatusCode, string(text)
}
