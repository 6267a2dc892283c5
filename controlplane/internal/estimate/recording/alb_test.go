package recording_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/price"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/estimate/recording"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// entry is a line as AWS documents it.
func entry(at time.Time, target float64) string {
	return line("https", at, at.Add(time.Duration((target+0.002)*float64(time.Second))), target)
}

func line(kind string, created, ended time.Time, target float64) string {
	const layout = "2006-01-02T15:04:05.000000Z"
	status := "200"
	if target < 0 {
		status = "-"
	}
	return fmt.Sprintf(`%s %s app/front/50dc6c495c0c9188 192.0.2.7:2817 10.0.0.1:80 0.001 %.3f 0.001 200 %s 400 9000 `+
		`"GET https://www.example.com:443/a?q=\"x y\" HTTP/1.1" "curl/8.5.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 `+
		`arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067 "Root=1-58337262-36d228ad5d99923122bbe354" `+
		`"www.example.com" "-" 1 %s "forward" "-" "-" "10.0.0.1:80" "%s" "-" "-" TID_1234abcd5678ef90`,
		kind, ended.Format(layout), target, status, created.Format(layout), status)
}

// hour is a log of two requests a second for an hour.
func hour() string {
	var out strings.Builder
	for k := range 7200 {
		fmt.Fprintln(&out, entry(noon.Add(time.Duration(k)*500*time.Millisecond), 0.099))
	}
	return out.String()
}

func zipped(t *testing.T, text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// Two files, one of them gzipped and the later one first, are one recording.
func TestAnAccessLogIsRead(t *testing.T) {
	text := hour()
	half := strings.Index(text[len(text)/2:], "\n") + len(text)/2 + 1
	var log recording.ALB
	require.NoError(t, log.Read("b.log.gz", bytes.NewReader(zipped(t, text[half:]))))
	require.NoError(t, log.Read("a.log", strings.NewReader(text[:half]+entry(noon, -1)+"\n")))
	r, err := log.Recording()
	require.NoError(t, err)
	require.Equal(t, 7200, r.Requests)
	require.Equal(t, 100*time.Millisecond, r.Latency)
	require.EqualValues(t, 400, r.RequestBytes)
	require.EqualValues(t, 9000, r.ResponseBytes)
	require.InDelta(t, 2, r.Traffic.Profile.Mean(), 0.01)
	require.Len(t, r.Traffic.Arrivals, 7200, "few enough to replay all")
	last := r.Traffic.Arrivals[7199]
	require.InDelta(t, 3599.5, last.At.Seconds(), 0.1, "at their own times")
	require.Contains(t, strings.Join(r.Notes, "\n"), "1 requests that no target served are left out")
	require.Contains(t, strings.Join(r.Notes, "\n"), "The recording spans 1h0m0s")

	s := estimate.Default()
	s.Traffic, s.Latency, s.CPU = r.Traffic, r.Latency, 0.1
	set, err := price.Default().For("us-east-1")
	require.NoError(t, err)
	bills, err := estimate.Estimate(s, set)
	require.NoError(t, err)
	require.InDelta(t, 2*730*3600*(0.1005*0.0000166667+0.2/1e6), bills.Bills[1].Sum(estimate.Compute).Dollars(), 0.1)
}

// Windows' programs begin UTF-8 with a mark, and end lines in their own way.
func TestALogFromWindowsIsRead(t *testing.T) {
	text := strings.ReplaceAll("\ufeff"+hour()+" \n", "\n", "\r\n")
	for _, file := range [][]byte{[]byte(text), zipped(t, text)} {
		var log recording.ALB
		require.NoError(t, log.Read("x.log", bytes.NewReader(file)))
		r, err := log.Recording()
		require.NoError(t, err)
		require.Equal(t, 7200, r.Requests)
	}
	var log recording.ALB
	require.EqualError(t, log.Read("x.log", strings.NewReader("\xff\xfeh\x00t\x00")), "x.log: is UTF-16, must be UTF-8")
}

// Of a file that broke off the last line is broken as well: what is said is that the file did.
func TestALogThatBrokeOffIsNamed(t *testing.T) {
	whole := zipped(t, hour())
	for _, half := range [][]byte{whole[:len(whole)/2], whole[:len(whole)-4]} {
		var log recording.ALB
		err := log.Read("x.log.gz", bytes.NewReader(half))
		require.ErrorContains(t, err, ": the file ends too early, as after a download that broke off: unexpected EOF")
		require.Regexp(t, `^x\.log\.gz:[0-9]+: the file`, err.Error())
	}
}

// A WebSocket lasts until its line is written, whatever the target's time was.
func TestAWebSocketLastsUntilItsEnd(t *testing.T) {
	var log recording.ALB
	text := line("wss", noon, noon.Add(time.Hour), 0.01) + "\n" + line("http", noon, noon.Add(20*time.Millisecond), 0.01) + "\n" +
		entry(noon.Add(time.Hour), 0.01)
	require.NoError(t, log.Read("ws.log", strings.NewReader(text)))
	r, err := log.Recording()
	require.NoError(t, err)
	require.InDelta(t, time.Hour.Seconds(), r.Traffic.Arrivals[0].Service.Seconds()+r.Traffic.Arrivals[1].Service.Seconds(), 0.1)
}

// Of a large log some half minutes are kept whole, whatever their order.
func TestALargeLogIsSampled(t *testing.T) {
	var log recording.ALB
	for part := range 8 {
		var text strings.Builder
		for k := range 25_000 {
			fmt.Fprintln(&text, entry(noon.Add(time.Duration(7-part)*500*time.Second+time.Duration(k)*20*time.Millisecond), 0.02))
		}
		require.NoError(t, log.Read("part", strings.NewReader(text.String())))
	}
	r, err := log.Recording()
	require.NoError(t, err)
	require.Equal(t, 200_000, r.Requests)
	require.InDelta(t, 50, r.Traffic.Profile.Mean(), 0.5, "the profile is of all")
	require.Less(t, len(r.Traffic.Arrivals), 30_001)
	require.Greater(t, len(r.Traffic.Arrivals), 3_000)
	span := r.Traffic.Arrivals[len(r.Traffic.Arrivals)-1].At.Seconds()
	require.InEpsilon(t, 50, float64(len(r.Traffic.Arrivals))/span, 0.1, "as dense as the log")
	require.Contains(t, strings.Join(r.Notes, "\n"), "in whole half minutes chosen at random")
}

func TestBadLogsAreNamed(t *testing.T) {
	good := entry(noon, 0.1) + "\n" + entry(noon.Add(time.Hour), 0.1) + "\n"
	for name, tt := range map[string]struct{ text, says string }{
		"another log":  {good + `127.0.0.1 - - [02/Nov/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 5` + "\n", "x.log:3: 8 fields, an entry of an Application"},
		"open quote":   {good + "\n" + strings.Replace(entry(noon, 0.1), `HTTP/1.1"`, "HTTP/1.1", 1)[:320], "x.log:4: column "},
		"time":         {strings.ReplaceAll(good, "2026-11-02T12:00:00.000000Z", "yesterday"), `x.log:1: request_creation_time: "yesterday" is not a time`},
		"seconds":      {strings.Replace(good, " 0.100 ", " fast ", 1), `x.log:1: target_processing_time: "fast" is not a number`},
		"not a number": {strings.Replace(good, " 0.100 ", " NaN ", 1), `x.log:1: target_processing_time: "NaN" is not a number`},
		"a week":       {strings.Replace(good, " 0.100 ", " 604800 ", 1), "x.log:1: target_processing_time: \"604800\" is more than a day"},
		"bytes":        {strings.Replace(good, " 400 9000 ", " -4 9000 ", 1), `x.log:1: received_bytes: "-4" is not a number from 0 on`},
		"too long":     {good + entry(noon.Add(100*24*time.Hour), 0.1), "x.log:3: from 2026-11-02 to 2027-02-10 is 100 days, at most 62"},
		"a long line":  {good + strings.Repeat("x", 2<<20), "x.log:3: "},
	} {
		t.Run(name, func(t *testing.T) {
			var log recording.ALB
			require.ErrorContains(t, log.Read("x.log", strings.NewReader(tt.text)), tt.says)
		})
	}
	var log recording.ALB
	require.NoError(t, log.Read("empty", strings.NewReader("")))
	_, err := log.Recording()
	require.EqualError(t, err, "no request in it that a target served")
	require.ErrorContains(t, log.Read("broken.gz", bytes.NewReader([]byte{0x1f, 0x8b, 1, 2})), "broken.gz: ")
	require.NoError(t, log.Read("one", strings.NewReader(entry(noon, 0.1))))
	_, err = log.Recording()
	require.ErrorContains(t, err, "it spans 0s: at least 1m0s")
}

func FuzzALB(f *testing.F) {
	f.Add(entry(noon, 0.1) + "\n" + entry(noon.Add(time.Hour), 3))
	f.Add(`h2 "`)
	f.Add(line("ws", noon, noon.Add(time.Minute), -1))
	f.Fuzz(func(t *testing.T, text string) {
		var log recording.ALB
		if log.Read("fuzz", strings.NewReader(text)) != nil {
			return
		}
		r, err := log.Recording()
		if err != nil {
			return
		}
		require.NotEmpty(t, r.Traffic.Profile.Rates)
		require.LessOrEqual(t, len(r.Traffic.Arrivals), r.Requests)
	})
}
