package workload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/simulate/workload"
)

const second = time.Second

func TestLevelsAndBound(t *testing.T) {
	w, err := workload.Read("three", strings.NewReader("at,service_ms\n0,2000\n1,2000\n5,1000\n"))
	require.NoError(t, err)
	require.Equal(t, []workload.Level{{0, 1}, {second, 2}, {2 * second, 1}, {3 * second, 0}, {5 * second, 1}, {6 * second, 0}}, w.Levels())
	require.Equal(t, 5*second, w.Bound(1))
	require.Equal(t, 4*second, w.Bound(2))
	require.Equal(t, 5*second, w.Work())
	require.Equal(t, 6*second, w.Horizon)
}

func TestReadKnowsTheFormatsOfTraces(t *testing.T) {
	want := []workload.Request{{At: 0, Service: 270 * time.Millisecond}, {At: 52 * time.Millisecond, Service: 350 * time.Millisecond}}
	for _, text := range []string{
		"# a comment\nat_ms,context_tokens,generated_tokens\n1000,400,5\n1052,0,10\n",
		"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9480000,400,5\n2023-11-16 18:17:04.0000000,0,10\n",
		"TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009000+00:00,400,5\n2024-05-10 02:00:00.061000+02:00,0,10\n",
		"TIMESTAMP,service_ms\n2024-05-10T23:59:59.999Z,270\n2024-05-11T00:00:00.051,350\n",
		"at,service_ms\n7.0,270\n7.052,350\n",
		"\ufeff# from a spreadsheet\r\n at , service_ms , stream \r\n7.0 , 270 , false \r\n\r\n7.052,350,\r\n",
		"at_ms, context_tokens , generated_tokens , model\n1732000000052,0,10,x\n1732000000000,400,5,y\n",
		"at,service_ms,,\n172800.052,350,,\n172800,270,,\n",
	} {
		w, err := workload.Read("x", strings.NewReader(text))
		require.NoError(t, err, text)
		require.Equal(t, want, w.Requests, text)
	}
}

// Times that begin long ago differ by as much as they say, to a microsecond.
func TestReadKnowsUnixTimes(t *testing.T) {
	for _, text := range []string{"at,service_ms\n1732000000.5,1\n1732000000.5021,1\n", "at_ms,service_ms\n1732000000500,1\n1732000000502.1,1\n"} {
		w, err := workload.Read("x", strings.NewReader(text))
		require.NoError(t, err)
		require.InDelta(t, 2100*time.Microsecond, w.Requests[1].At, float64(time.Microsecond))
	}
}

func TestReadKnowsStreams(t *testing.T) {
	w, err := workload.Read("x", strings.NewReader("at,service_ms,stream\n0,60000,true\n1,20,\n2,20,false\n3,60000,1\n"))
	require.NoError(t, err)
	var streams []bool
	for _, r := range w.Requests {
		streams = append(streams, r.Stream)
	}
	require.Equal(t, []bool{true, false, false, true}, streams)
	require.Equal(t, streams[0], w.Faster(2).Requests[0].Stream)
}

func TestReadNamesLineColumnAndValue(t *testing.T) {
	for text, says := range map[string]string{
		"":                                 "empty: the first line must name the columns",
		"when,service_ms\n":                `header: no column at_ms, at or TIMESTAMP among ["when" "service_ms"]`,
		"at;service_ms\n":                  `header: no column at_ms, at or TIMESTAMP among ["at;service_ms"]`,
		"at,duration_ms\n":                 `header: no column service_ms or GeneratedTokens among ["at" "duration_ms"]`,
		"at,service_ms,at\n":               "header: two columns at",
		"at\n4000000001\n":                 `line 2, at: "4000000001" is out of range`,
		"at,service_ms\n1,2\n3,abc\n":      `line 3, service_ms: "abc" is not a number`,
		"# mine\nat,service_ms\n1,-2\n":    `line 3, service_ms: "-2" is negative`,
		"at,service_ms\n1,\n":              `line 2, service_ms: "" is not a number`,
		"at,service_ms\n1\n":               "record on line 2: wrong number of fields",
		"at,service_ms\n1,NaN\n":           `line 2, service_ms: "NaN" is not a number`,
		"at,stream\n1,maybe\n":             `line 2, stream: "maybe" is neither true nor false`,
		"at_ms\n1e99\n":                    `line 2, at_ms: "1e99" is out of range`,
		"at\n1e999\n":                      `line 2, at: "1e999" is out of range`,
		"TIMESTAMP\nnoon\n":                `line 2, TIMESTAMP: "noon" is not a date and time such as 2023-11-16 18:17:03.9799600`,
		"TIMESTAMP\n1969-12-31 23:59:59\n": `line 2, TIMESTAMP: "1969-12-31 23:59:59" is not between the years 1970 and 2200`,
		"at,GeneratedTokens,ContextTokens\n1,5,many\n": `line 2, ContextTokens: "many" is not a number`,
	} {
		_, err := workload.Read("x", strings.NewReader(text))
		require.EqualError(t, err, says)
	}
}

// The same seed gives the same requests, another one others, and the rate is what was asked for.
func TestGeneratorsAreDeterministic(t *testing.T) {
	service := workload.Exponential(second)
	for _, g := range []workload.Generator{
		workload.Steady("x", 100*second, 20, service),
		workload.Constant("x", 100*second, 20, service),
		workload.Diurnal("x", 100*second, 50*second, 10, 30, service),
		workload.Switching("x", 1000*second, []float64{0, 4}, []time.Duration{second, second}, service),
		workload.Pulses("x", 100*second, 10*second, second, 10, 110, service),
		workload.Step("x", 200*second, 100*second, 20, service),
		workload.Ramp("x", 100*second, 0, 40, service),
		workload.Clumped("x", 1000*second, 2, 0.6, service),
		workload.Crowd("x", 2000, service),
	} {
		a, b, c := g.Make(1), g.Make(1), g.Make(2)
		require.Equal(t, a, b)
		require.NotEqual(t, a.Requests, c.Requests)
		require.InDelta(t, 2000, len(a.Requests), 300)
		require.InDelta(t, 2000, a.Work().Seconds(), 400)
		for k := range a.Requests[1:] {
			require.LessOrEqual(t, a.Requests[k].At, a.Requests[k+1].At)
		}
	}
}

// Whatever a file holds, it is refused, or gives requests that a simulation can replay.
func FuzzRead(f *testing.F) {
	f.Add("at,service_ms\n0,2000\n1,2000\n")
	f.Add("# comment\nat_ms,context_tokens,generated_tokens\n1000,400,5\n")
	f.Add("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9480000,400,5\n")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := workload.Read("x", strings.NewReader(text))
		if err != nil {
			return
		}
		last := time.Duration(0)
		for _, r := range w.Requests {
			require.GreaterOrEqual(t, r.At, last)
			require.GreaterOrEqual(t, r.Service, time.Duration(0))
			require.LessOrEqual(t, r.At+r.Service, w.Horizon)
			last = r.At
		}
		require.GreaterOrEqual(t, w.Work(), time.Duration(0))
	})
}
