package tables

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/golden"
)

var update = flag.Bool("update", false, "write the golden messages anew")

// ended has every field of an instance.
var ended = Instance{
	ID: "i1", Function: "web", Endpoint: "web/0007", Dollars: 0.06, Memo: []byte("memo"),
	Phase: PhaseEnded, Age: Micros(9 * time.Second), UpFor: Micros(8 * time.Second), StartBy: Micros(time.Second),
	Environment: "env", Slots: 10, Cold: true, Left: Micros(90 * time.Second),
	Peer:  Peer{Build: "v1", Features: wire.Features{"word"}, FunctionVersion: "3", RequestID: "r", LogStream: "l"},
	Waits: 1, What: "connection refused", Ups: 2, Notices: 1, Notice: wire.NoticeSerialApp, Leaves: wire.ReasonDeadline,
	Drain: wire.ReasonRotation, Why: "reset",
	Load: &Load{Instance: "i1", Number: 5, InFlight: 3, Requests: 103, Answers: 100, Errors: 2, Way: Micros(300 * time.Microsecond), Age: Micros(time.Millisecond)},
	End: &End{
		Cause: EndControlEnded, Detail: "detail",
		Report: &wire.Report{Version: wire.Version, Instance: "i1", Reason: wire.ReasonScaleIn, Requests: 100, Served: wire.Millis(time.Second)},
	},
}

// examples have every field of the messages, and of what a relay writes down.
var examples = map[string]any{
	"desired.json": Desired{
		Term: 7, Leader: "cp", Complete: true, Ack: 41, Ping: 3,
		Wants: []Want{{
			Number: 12, Instance: "i1", Drain: wire.ReasonScaleIn, Forget: true,
			Expect: &Expectation{
				Instance: "i1", Function: "web", Endpoint: "web/0007", Expires: Micros(65 * time.Second), StartBy: Micros(time.Minute),
				Dollars: 0.06, Memo: []byte("memo"),
			},
		}},
		Notes: []Note{{Function: "web", Term: 7, Number: 2, Text: []byte("note")}},
	},
	"observed.json": Observed{
		Term: 7, Number: 42, Complete: true, Done: 12, Refused: []string{"i9"}, Acked: 41, Pong: 3,
		Hello: &Hello{
			Relay: "pair-1", Boot: "b2", Dial: []wire.Relay{{Address: "10.0.0.7:7443", TLS: true, CA: "PEM", Name: "relay"}},
			Sockets: "/run/lambda-dispatch/e", Build: "v1", Features: wire.Features{"word"},
		},
		Notes:     []Note{{Function: "web", Term: 6, Number: 9, Text: []byte("note"), Age: Micros(time.Second)}},
		Instances: []Instance{ended},
		Loads:     []Load{{Instance: "i2", Number: 6, InFlight: 1}},
	},
	"kept.json": Kept{Instance: ended, Expires: Micros(65 * time.Second)},
}

// What one build writes every later one reads: the files change by additions only.
func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for name, message := range examples {
		path := filepath.Join("testdata", name)
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		require.NoError(t, encoder.Encode(message))
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, text.Bytes(), 0o644))
		}
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(kept), text.String(), name)
		read(t, name, kept, message)
	}
}

// builds are commits whose messages are kept, in folders of testdata. Files are added there, never changed.
var builds = []string{"3c106a4", "922516b"}

// Leader and relay may be of different builds: what an earlier one wrote is read today, and what it read is still there.
func TestMessagesOfEarlierBuilds(t *testing.T) {
	for _, build := range builds {
		files, err := os.ReadDir(filepath.Join("testdata", build))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			earlier, err := os.ReadFile(filepath.Join("testdata", build, file.Name()))
			require.NoError(t, err)
			today, err := json.Marshal(examples[file.Name()])
			require.NoError(t, err)
			require.NoError(t, golden.Survives(earlier, today, func(earlier []byte) ([]byte, error) {
				message, err := decodeAny(file.Name(), earlier)
				if err != nil {
					return nil, err
				}
				return json.Marshal(message)
			}), "%s/%s", build, file.Name())
		}
	}
}

func read(t *testing.T, name string, text []byte, want any) {
	got, err := decodeAny(name, text)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func decodeAny(name string, text []byte) (any, error) {
	switch name {
	case "desired.json":
		return DecodeDesired(text)
	case "observed.json":
		return DecodeObserved(text)
	default:
		return DecodeKept(text)
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	d, err := DecodeDesired([]byte(`{"term":1,"later":{"a":1},"wants":[{"number":1,"instance":"i","later":2}]}`))
	require.NoError(t, err)
	require.Equal(t, uint64(1), d.Term)
}

func TestADecoderNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                       "unexpected end",
		`{}`:                      "term: required",
		`{"term":1,"wants":[{}]}`: "wants[0]: number: required",
		`{"term":1,"notes":[{}]}`: "notes[0]: function: required",
		`{"term":1,"wants":[{"number":1,"instance":"a","expect":{"instance":"b"}}]}`: "is not the want's",
	} {
		_, err := DecodeDesired([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	for text, want := range map[string]string{
		`{"instances":[{"id":"a b"}]}`:                                                          "instances[0]: id",
		`{"instances":[{"id":"a","function":"f","endpoint":"e","phase":"ended"}]}`:              "end: required",
		`{"instances":[{"id":"a","function":"f","endpoint":"e","phase":"up","dollars":1e300}]}`: "dollars: 1e+300",
		`{"loads":[{"instance":"a","in_flight":-1}]}`:                                           "in_flight: -1",
		`{"hello":{"relay":"r"}}`:                                                               "hello: boot: required",
	} {
		_, err := DecodeObserved([]byte(text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := DecodeDesired(make([]byte, MaxMessage+1))
	require.ErrorContains(t, err, "at most")
}

func FuzzDecodeDesired(f *testing.F) {
	text, _ := json.Marshal(examples["desired.json"])
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := DecodeDesired(text)
		if err != nil {
			return
		}
		k := NewKeeper(Hello{Relay: "r", Boot: "b"}, 0)
		_, err = k.Receive(start, 1, d)
		require.NoError(t, err)
		for range 100 {
			if _, ok := k.Next(start, 1); !ok {
				return
			}
		}
		require.Fail(t, "a keeper that never falls silent")
	})
}

func FuzzDecodeObserved(f *testing.F) {
	text, _ := json.Marshal(examples["observed.json"])
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := DecodeObserved(text)
		if err != nil {
			return
		}
		m := NewMirror(o.Term, "cp")
		m.Attach(Observed{Hello: &Hello{Relay: "r", Boot: "b"}})
		for range 2 {
			_, err = m.Receive(start, o)
			require.NoError(t, err)
		}
		for range 100 {
			if _, ok := m.Next(start); !ok {
				return
			}
		}
		require.Fail(t, "a mirror that never falls silent")
	})
}

func FuzzDecodeKept(f *testing.F) {
	text, _ := json.Marshal(examples["kept.json"])
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := DecodeKept(text)
		if err != nil {
			return
		}
		k := NewKeeper(Hello{Relay: "r", Boot: "b"}, 0)
		k.Remember(start, []Kept{kept, kept})
		for _, again := range k.Kept(start) {
			text, err := json.Marshal(again)
			require.NoError(t, err)
			_, err = DecodeKept(text)
			require.NoError(t, err, "what a relay writes down it does not read")
		}
	})
}
