package recording_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/recording"
)

func read(t *testing.T, files ...string) recording.Recording {
	t.Helper()
	var c recording.CloudWatch
	for _, text := range files {
		require.NoError(t, c.Read("x", strings.NewReader(text)))
	}
	r, err := c.Recording()
	require.NoError(t, err)
	return r
}

const data = `{
    "MetricDataResults": [
        {"Id": "m1", "Label": "web Invocations", "Timestamps": ["2026-11-02T12:10:00+00:00", "2026-11-02T12:00:00+00:00", "2026-11-02T12:05:00+00:00"], "Values": [600.0, 300, 0], "StatusCode": "Complete"},
        {"Id": "duration", "Label": "anything", "Timestamps": ["2026-11-02T12:10:00+00:00", "2026-11-02T12:00:00+00:00"], "Values": [100, 400.0]},
        {"Id": "m3", "Label": "Throttles", "Timestamps": [], "Values": []}
    ],
    "Messages": []
}`

func TestMetricDataIsRead(t *testing.T) {
	r := read(t, data)
	require.Equal(t, 900, r.Requests)
	require.Equal(t, []float64{1, 0, 2}, r.Traffic.Profile.Rates)
	require.Equal(t, 5*time.Minute, r.Traffic.Profile.Step)
	require.Equal(t, 200*time.Millisecond, r.Latency, "weighed by requests")
	require.Negative(t, r.ResponseBytes)
	require.Contains(t, strings.Join(r.Notes, "\n"), `The metric "Throttles" is not used`)
	require.Contains(t, strings.Join(r.Notes, "\n"), "Peaks shorter than 5m0s do not show")
	require.Equal(t, r.Traffic, read(t, strings.ReplaceAll(data, "\n    ", "\n\t")).Traffic, "with tabs")
}

func TestMetricStatisticsAreRead(t *testing.T) {
	count := `{"Label": "RequestCount", "Datapoints": [{"Timestamp": "2026-11-02T13:00:00Z", "Sum": 7200.0, "Unit": "Count"}, {"Timestamp": "2026-11-02T12:00:00Z", "Sum": 3600.0, "Unit": "Count"}]}`
	response := `{"Label": "TargetResponseTime", "Datapoints": [{"Timestamp": "2026-11-02T13:00:00Z", "Average": 0.25, "Unit": "Seconds"}]}`
	bytes := `{"Label": "ProcessedBytes", "Datapoints": [{"Timestamp": "2026-11-02T13:00:00Z", "Sum": 108000000}]}`
	r := read(t, count, response, bytes)
	require.Equal(t, []float64{1, 2}, r.Traffic.Profile.Rates)
	require.Equal(t, 250*time.Millisecond, r.Latency)
	require.InDelta(t, 9000, r.ResponseBytes, 1)
	require.InDelta(t, 1000, r.RequestBytes, 1)
}

func TestAnExportMayBeGzipped(t *testing.T) {
	gzipped := string(zipped(t, data))
	require.Equal(t, read(t, data), read(t, gzipped))
	require.Equal(t, read(t, data), read(t, "\ufeff"+data), "with the mark of Windows' programs")
	var c recording.CloudWatch
	require.ErrorContains(t, c.Read("x", strings.NewReader(gzipped[:len(gzipped)/2])), "x: the file ends too early")
}

// An ALB before a function has both. The same export says the same each time.
func TestAFunctionsOwnDurationGoesFirst(t *testing.T) {
	for range 20 {
		r := read(t, "time,RequestCount,TargetResponseTime,Duration\n2026-11-02T12:00:00Z,60,0.5,200\n2026-11-02T12:01:00Z,120,0.5,200\n")
		require.Equal(t, 200*time.Millisecond, r.Latency)
	}
}

func TestCSVIsRead(t *testing.T) {
	for name, text := range map[string]string{
		"plain":   "time,RequestCount,TargetResponseTime\n2026-11-02T12:00:00Z,60,0.5\n2026-11-02T12:01:00Z,120,0.5\n",
		"console": "Full label,RequestCount,TargetResponseTime\nId,m1,m2\nPeriod,60,60\n2026/11/02 12:00:00,60,0.5\n2026/11/02 12:01:00,120,\n",
	} {
		r := read(t, text)
		require.Equal(t, []float64{1, 2}, r.Traffic.Profile.Rates, name)
		require.Equal(t, 500*time.Millisecond, r.Latency, name)
	}
}

func TestBadExportsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"cut off":         {data[:200], "x:3: unexpected end of JSON input"},
		"other JSON":      {"\n{\"Metrics\": []}", "x:2: neither MetricDataResults nor Datapoints"},
		"value":           {strings.Replace(data, "600.0", `"many"`, 1), `x:3: "many" is not a number`},
		"negative":        {strings.Replace(data, "600.0", "-600.0", 1), "x:3: -600 is not a metric value"},
		"time":            {strings.Replace(data, "2026-11-02T12:10:00+00:00", "noon", 1), `x:3: "noon" is not a time`},
		"lengths":         {strings.Replace(data, "[600.0, 300, 0]", "[600.0]", 1), "x:3: web Invocations: must have as many Timestamps as Values"},
		"statistic":       {`{"Label": "Invocations", "Datapoints": [` + "\n" + `{"Timestamp": "2026-11-02T13:00:00Z", "Average": 1}]}`, "x:2: Invocations: must have Timestamp and Sum"},
		"two functions":   {"time,Invocations,Invocations\n2026-11-02T12:00:00Z,60,61\n", "x:2: column 3: a second value for 2026-11-02T12:00:00Z, 60 and 61: export one"},
		"CSV value":       {"time,Invocations\n2026-11-02T12:00:00Z,60\n2026-11-02T12:01:00Z,some\n", `x:3: column 2: "some" is not a number`},
		"CSV row":         {"time,Invocations\n2026-11-02T12:00:00Z,60\ntotal,60\n", `x:3: "total" is not a time`},
		"CSV quote":       {"time,\"Invo\"cations\n", "x: neither JSON of the AWS CLI nor CSV: parse error on line 1"},
		"nothing at all":  {"", "x:1: no row that begins with a time"},
		"header and none": {"time,Invocations\n", "x:1: no row that begins with a time"},
	} {
		t.Run(name, func(t *testing.T) {
			var c recording.CloudWatch
			require.ErrorContains(t, c.Read("x", strings.NewReader(tt.text)), tt.says)
		})
	}
	for says, text := range map[string]string{
		"no metric that counts requests; known are RequestCount": "time,Duration\n2026-11-02T12:00:00Z,60\n",
		"only one value of requests":                             "time,Invocations\n2026-11-02T12:00:00Z,60\n",
		"no request in it":                                       "time,Invocations\n2026-11-02T12:00:00Z,0\n2026-11-02T12:01:00Z,0\n",
		"is 396 days, at most 62":                                "time,Invocations\n2025-10-02T12:00:00Z,1\n2026-11-02T12:00:00Z,1\n",
	} {
		var c recording.CloudWatch
		require.NoError(t, c.Read("x", strings.NewReader(text)))
		_, err := c.Recording()
		require.ErrorContains(t, err, says)
	}
}

func FuzzCloudWatch(f *testing.F) {
	f.Add(data)
	f.Add("time,Invocations,Duration\n2026-11-02T12:00:00Z,60,3\n2026-11-02T12:01:00Z,1,\n")
	f.Add(`{"Label": "Invocations", "Datapoints": [{"Timestamp": 1793620800, "Sum": 1}]}`)
	f.Add(fmt.Sprintf("{%s", strings.Repeat(`"a":{`, 50)))
	f.Fuzz(func(t *testing.T, text string) {
		var c recording.CloudWatch
		if c.Read("fuzz", strings.NewReader(text)) != nil {
			return
		}
		r, err := c.Recording()
		if err == nil {
			require.NotEmpty(t, r.Traffic.Profile.Rates)
			require.Positive(t, r.Traffic.Profile.Mean())
		}
	})
}
