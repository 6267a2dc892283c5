package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

func validInvocation() wire.Invocation {
	return wire.Invocation{
		Version:     wire.Version,
		Instance:    "i-1",
		Function:    "web",
		Relays:      []wire.Relay{{Address: "127.0.0.1:9000", TLS: true, Name: "relay"}},
		Token:       "secret-token",
		Concurrency: 10,
		DrainMargin: wire.Millis(time.Second),
		Features:    wire.Features{"of_today", "of_tomorrow"},
	}
}

func TestMillisTravelsAsWholeMilliseconds(t *testing.T) {
	data, err := json.Marshal(wire.Millis(1500*time.Millisecond + 999*time.Microsecond))
	require.NoError(t, err)
	require.Equal(t, "1500", string(data))

	_, err = json.Marshal(wire.Millis(-time.Second))
	require.ErrorContains(t, err, "negative")
}

func TestMillisRefusesAllButWholeNumbers(t *testing.T) {
	for _, in := range []string{`null`, `1.5`, `1e3`, `"1"`, `-1`, `9223372036855`, `99999999999999999999`, `true`, `{}`} {
		var m wire.Millis
		require.ErrorContains(t, json.Unmarshal([]byte(in), &m), "milliseconds:", in)
	}
}

func TestMillisRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := wire.Millis(rapid.Int64Range(0, 9223372036854).Draw(t, "ms") * int64(time.Millisecond))
		data, err := json.Marshal(want)
		require.NoError(t, err)
		var got wire.Millis
		require.NoError(t, json.Unmarshal(data, &got))
		require.Equal(t, want, got)
	})
}

func TestMessagesCrossTheStream(t *testing.T) {
	sent := []wire.Message{
		{Kind: wire.KindHello, Version: wire.Version, Instance: "i-1", Environment: "e-1", Slots: 3, Cold: true, Left: wire.Millis(time.Second)},
		{
			Kind: wire.KindHello, Version: wire.Version, Instance: "i-1", Environment: "e-1", Slots: 3,
			FunctionVersion: "$LATEST", Build: "v1.2.3", Features: wire.Features{"of_today"},
		},
		{Kind: wire.KindWelcome},
		{Kind: wire.KindWelcome, Build: "v1.2.3", Features: wire.Features{"of_tomorrow"}, StartLeft: wire.Millis(time.Minute)},
		{Kind: wire.KindHello, Version: wire.Version, Instance: "i-1", Environment: "e-1", Slots: 3, Waiting: "connection refused"},
		{Kind: wire.KindWaiting, Waiting: "GET / answered 503"},
		{Kind: wire.KindNotice, Notice: wire.NoticeSerialApp},
		{Kind: wire.KindReady, Left: wire.Millis(time.Second)},
		{Kind: wire.KindLoad, InFlight: 0},
		{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn},
		{Kind: wire.KindGoodbye, Report: &wire.Report{Version: wire.Version, Instance: "i-1", Reason: wire.ReasonScaleIn}},
		{Kind: wire.KindRefused, Detail: "no"},
		{Kind: "of a later time"},
	}
	var stream bytes.Buffer
	enc := wire.NewEncoder(&stream)
	for _, m := range sent {
		require.NoError(t, enc.Encode(m))
	}
	dec := wire.NewDecoder(&stream)
	for _, want := range sent {
		got, err := dec.Decode()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := dec.Decode()
	require.ErrorIs(t, err, io.EOF)
}

func TestDecoderTellsHowTheStreamEnded(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"within a message", `{"kind":"welcome"}`, io.ErrUnexpectedEOF.Error()},
		{"too long", `{"kind":"` + strings.Repeat("x", wire.MaxMessage) + "\"}\n", "too long: more than 16384 bytes"},
		{"not JSON", "hello\n", "control message: invalid character"},
		{"no kind", "{}\n", "kind: required"},
		{"hello of another version", `{"kind":"hello","version":7}` + "\n", "version 7 is not supported; this end speaks version 1"},
		{"a build with a space", `{"kind":"welcome","build":"a b"}` + "\n", `welcome: build: "a b" holds a space`},
		{"features of another type", `{"kind":"welcome","features":"a"}` + "\n", "control message: json"},
		{"too many features", `{"kind":"welcome","features":[` + strings.Repeat(`"a",`, 64) + `"a"]}` + "\n", "welcome: features: 65 words, at most 64"},
		{"a long feature", `{"kind":"welcome","features":["a","` + strings.Repeat("a", 65) + `"]}` + "\n", "welcome: features[1]: 65 bytes, at most 64"},
		{"a version with a space", `{"kind":"hello","version":1,"instance":"i","environment":"e","slots":1,"function_version":"1 2"}` + "\n", "hello: function_version"},
		{"a notice of nothing", `{"kind":"notice"}` + "\n", "notice: notice: required"},
		{"waiting for nothing", `{"kind":"waiting"}` + "\n", "waiting: waiting: required"},
		{"waiting for too much", `{"kind":"waiting","waiting":"` + strings.Repeat("x", 2049) + `"}` + "\n", "waiting: waiting: 2049 bytes, at most 2048"},
		{"load below zero", `{"kind":"load","in_flight":-1}` + "\n", "load: in_flight: -1 is not within"},
		{"goodbye without report", `{"kind":"goodbye"}` + "\n", "goodbye: report: required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := wire.NewDecoder(strings.NewReader(tt.in)).Decode()
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestEncoderWritesNothingInvalid(t *testing.T) {
	var out bytes.Buffer
	enc := wire.NewEncoder(&out)
	require.ErrorContains(t, enc.Encode(wire.Message{Kind: wire.KindHello, Version: wire.Version}), "instance: required")
	long := wire.Message{Kind: "future", Detail: strings.Repeat("x", wire.MaxMessage)}
	require.ErrorIs(t, enc.Encode(long), wire.ErrTooLong)
	require.Zero(t, out.Len())
}

func TestTheLongestDetailFitsAMessage(t *testing.T) {
	detail := wire.CutDetail(strings.Repeat("\x01", wire.MaxMessage))
	require.Len(t, detail, wire.MaxDetail)
	m := wire.Message{Kind: wire.KindGoodbye, Report: &wire.Report{
		Version: wire.Version, Instance: strings.Repeat("i", wire.MaxID), Reason: wire.ReasonRelayLost, Detail: detail,
	}}
	require.NoError(t, wire.NewEncoder(io.Discard).Encode(m))
}

func TestCutDetailKeepsCharactersWhole(t *testing.T) {
	cut := wire.CutDetail(strings.Repeat("é", wire.MaxDetail))
	require.LessOrEqual(t, len(cut), wire.MaxDetail)
	require.Equal(t, strings.Repeat("é", len(cut)/2), cut)
}

func TestDecodeInvocation(t *testing.T) {
	want := validInvocation()
	data, err := json.Marshal(want)
	require.NoError(t, err)
	data = append([]byte(`{"of_a_later_time":[1],`), data[1:]...)
	got, err := wire.DecodeInvocation(data)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestDecodeInvocationTellsOtherEventsApart(t *testing.T) {
	for _, event := range []string{``, `null`, `[]`, `"x"`, `{}`, `{"httpMethod":"GET"}`, `{`, `{"detail":{"lambda_dispatch":1}}`, strings.Repeat("x", wire.MaxInvocation+1)} {
		_, err := wire.DecodeInvocation([]byte(event))
		require.ErrorIs(t, err, wire.ErrNotOurs, "%.20s", event)
	}
	var other *wire.VersionError
	_, err := wire.DecodeInvocation([]byte(`{"lambda_dispatch":2,"relays":"elsewhere"}`))
	require.True(t, errors.As(err, &other))
	require.Equal(t, 2, other.Theirs)

	long := `{"lambda_dispatch":1,"pad":"` + strings.Repeat("x", wire.MaxInvocation) + `"}`
	_, err = wire.DecodeInvocation([]byte(long))
	require.ErrorIs(t, err, wire.ErrTooLong)
}

func TestInvocationValidateNamesTheField(t *testing.T) {
	tests := []struct {
		want   string
		breaks func(*wire.Invocation)
	}{
		{"instance: required", func(i *wire.Invocation) { i.Instance = "" }},
		{"instance: 513 bytes, at most 512", func(i *wire.Invocation) { i.Instance = strings.Repeat("x", 513) }},
		{`function: "a b" holds a space`, func(i *wire.Invocation) { i.Function = "a b" }},
		{"token: required", func(i *wire.Invocation) { i.Token = "" }},
		{"token: holds a space", func(i *wire.Invocation) { i.Token = "a\r\nHost: b" }},
		{"concurrency: 0 is not within 1", func(i *wire.Invocation) { i.Concurrency = 0 }},
		{"relays: 0 is not within 1", func(i *wire.Invocation) { i.Relays = nil }},
		{`relays[0].address: "nowhere" is not host:port`, func(i *wire.Invocation) { i.Relays[0].Address = "nowhere" }},
		{`relays[0].address: port "0"`, func(i *wire.Invocation) { i.Relays[0].Address = "h:0" }},
		{"relays[0].name: required with tls", func(i *wire.Invocation) { i.Relays[0].Name = "" }},
		{"drain_limit_ms: 25h0m0s is not within", func(i *wire.Invocation) { i.DrainLimit = wire.Millis(25 * time.Hour) }},
		{"features[0]: required", func(i *wire.Invocation) { i.Features[0] = "" }},
		{"dial_timeout_ms: -1s is not within", func(i *wire.Invocation) { i.DialTimeout = wire.Millis(-time.Second) }},
	}
	require.NoError(t, validInvocation().Validate())
	for _, tt := range tests {
		inv := validInvocation()
		tt.breaks(&inv)
		require.ErrorContains(t, inv.Validate(), tt.want)
		require.NotContains(t, inv.Validate().Error(), "secret-token")
	}
}

func TestDecodeRegistrationAndReport(t *testing.T) {
	r, err := wire.DecodeRegistration([]byte(`{"lambda_dispatch":1,"function":"web","environment":"laptop"}`))
	require.NoError(t, err)
	require.Equal(t, wire.Registration{Version: 1, Function: "web", Environment: "laptop"}, r)
	_, err = wire.DecodeRegistration([]byte(`{"lambda_dispatch":1,"function":"web"}`))
	require.ErrorContains(t, err, "registration: environment: required")

	report, err := wire.DecodeReport([]byte(`{"lambda_dispatch":1,"instance":"i-1","reason":"deadline","served_ms":1500}`))
	require.NoError(t, err)
	require.Equal(t, 1500*time.Millisecond, report.Served.Duration())
	_, err = wire.DecodeReport([]byte(`{"lambda_dispatch":1,"instance":"i-1","reason":"deadline","requests":-1}`))
	require.ErrorContains(t, err, "report: requests: -1 is negative")
}

func BenchmarkLoadMessage(b *testing.B) {
	var stream bytes.Buffer
	enc, dec := wire.NewEncoder(&stream), wire.NewDecoder(&stream)
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(wire.Message{Kind: wire.KindLoad, InFlight: 7}); err != nil {
			b.Fatal(err)
		}
		if _, err := dec.Decode(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLacksDescribesWhatAnEarlierPeerDoesNot(t *testing.T) {
	require.Empty(t, wire.Lacks(wire.PeerFeatures()))
	require.Empty(t, wire.Lacks(append(wire.PeerFeatures(), "of_tomorrow")))
	lacks := wire.Lacks(nil)
	require.Len(t, lacks, len(wire.PeerFeatures()))
	for i, d := range lacks {
		require.Equal(t, wire.PeerFeatures()[i], d.Feature)
		require.NotEmpty(t, d.Without, "what does the lack of %s cost?", d.Feature)
	}
	require.NoError(t, wire.PeerFeatures().Validate())
	require.NoError(t, wire.ControlFeatures().Validate())
}
