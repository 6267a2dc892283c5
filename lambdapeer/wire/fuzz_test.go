package wire_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Every decoder must survive anything, and what it accepts must survive a round trip.

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(`{"kind":"hello","version":1,"instance":"i","environment":"e","slots":1,"cold":true,"left_ms":1}` + "\n"))
	f.Add([]byte(`{"kind":"hello","version":1,"instance":"i","environment":"e","slots":1,"function_version":"$LATEST","build":"v1","features":["a"]}` + "\n"))
	f.Add([]byte(`{"kind":"welcome","build":"v1","features":[],"start_left_ms":59000}` + "\n"))
	f.Add([]byte(`{"kind":"hello","version":1,"instance":"i","environment":"e","slots":1,"waiting":"GET /: connection refused"}` + "\n"))
	f.Add([]byte(`{"kind":"notice","notice":"serial_app"}` + "\n"))
	f.Add([]byte(`{"kind":"waiting","waiting":"GET / answered 503"}` + "\n" + `{"kind":"ready","left_ms":1}` + "\n"))
	f.Add([]byte(`{"kind":"load","in_flight":3}` + "\n" + `{"kind":"drain","reason":"deadline"}` + "\n"))
	f.Add([]byte(`{"kind":"goodbye","report":{"lambda_dispatch":1,"instance":"i","reason":"shutdown","served_ms":1}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dec := wire.NewDecoder(bytes.NewReader(data))
		for {
			m, err := dec.Decode()
			if err != nil {
				return
			}
			var line bytes.Buffer
			if err := wire.NewEncoder(&line).Encode(m); err != nil {
				require.ErrorIs(t, err, wire.ErrTooLong) // escaping may make a line longer
				continue
			}
			again, err := wire.NewDecoder(&line).Decode()
			require.NoError(t, err)
			require.Equal(t, m, again)
		}
	})
}

func FuzzDecodeInvocation(f *testing.F) {
	f.Add([]byte(`{"lambda_dispatch":1,"instance":"i","function":"f","token":"t","concurrency":1,"relays":[{"address":"a:1"}]}`))
	f.Add([]byte(`{"lambda_dispatch":1,"instance":"i","function":"f","token":"t","concurrency":1,"relays":[{"address":"a:1"}],"features":["a","b"]}`))
	f.Add([]byte(`{"lambda_dispatch":2}`))
	f.Add([]byte(`{"version":"2.0","routeKey":"$default"}`))
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, wire.DecodeInvocation) })
}

func FuzzDecodeRegistration(f *testing.F) {
	f.Add([]byte(`{"lambda_dispatch":1,"function":"f","environment":"e"}`))
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, wire.DecodeRegistration) })
}

func FuzzDecodeReport(f *testing.F) {
	f.Add([]byte(`{"lambda_dispatch":1,"instance":"i","reason":"deadline","served_ms":9223372036854}`))
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, data, wire.DecodeReport) })
}

func roundTrip[T any](t *testing.T, data []byte, decode func([]byte) (T, error)) {
	v, err := decode(data)
	if err != nil {
		return
	}
	again, err := json.Marshal(v)
	require.NoError(t, err)
	if len(again) > wire.MaxInvocation {
		return // escaping may make it longer
	}
	got, err := decode(again)
	require.NoError(t, err)
	require.Equal(t, v, got)
}
