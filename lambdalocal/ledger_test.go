package lambdalocal_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

var billedRule = regexp.MustCompile(`REPORT .*\tBilled Duration: ([0-9]+) ms\tMemory Size: 512 MB\t`)

func TestTheLedgerIsTheSumOfTheReportLines(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		f.MemoryMB, f.Architecture, f.Timeout = 512, "arm64", 2*time.Second
	})
	var billed, requests int64
	for _, o := range []order{{}, {Do: "sleep", Ms: 7}, {Do: "error"}, {Do: "exit", Ms: 1}, {}, {Do: "hang"}, {Do: "large"}} {
		report := billedRule.FindStringSubmatch(logOf(t, m.invoke(o)))
		require.NotNil(t, report)
		ms, err := strconv.ParseInt(report[1], 10, 64)
		require.NoError(t, err)
		billed += ms
		requests++
	}
	m.reserve(new(int32(0)))
	_, err := m.try(order{})
	require.Error(t, err, "throttled, and free")

	a := m.Ledger().Functions[0]
	require.Equal(t, "web", a.Function)
	require.Equal(t, billed, a.Invoke.BilledMs)
	require.Equal(t, requests, a.Invoke.Requests)
	require.Positive(t, a.Invoke.InitMs)
	require.Zero(t, a.Direct)
	require.Equal(t, a.Invoke, a.Total)
	require.InEpsilon(t, float64(billed)/1000/2, a.Total.GBSeconds, 1e-9)
	require.InEpsilon(t, float64(requests)*0.20/1e6+a.Total.GBSeconds*0.0000133334, a.Total.Dollars, 1e-9)
	require.EqualValues(t, m.Counters("web").BilledMs, billed)

	var byHTTP lambdalocal.Statement
	get(t, m.InvokeURL()+"/lambdalocal/ledger", &byHTTP)
	require.Equal(t, m.Ledger(), byHTTP)
}

func TestEachFrontHasItsBill(t *testing.T) {
	t.Parallel()
	m := runWith(t, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) { c.Direct.Address = "127.0.0.1:0" })
	m.invoke(order{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	over := func() bool { return slices.Equal(m.states(), []lambdalocal.State{lambdalocal.StateFrozen}) } // then it is billed
	for range 2 {
		m.eventually("frozen", over)
		response, err := client.Get(m.DirectURL() + "/web/")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
	m.eventually("frozen", over)
	a := m.Ledger().Functions[0]
	require.EqualValues(t, 1, a.Invoke.Requests)
	require.EqualValues(t, 2, a.Direct.Requests)
	require.Equal(t, 1, m.Counters("web").Cold, "both ways share the environments")
}
