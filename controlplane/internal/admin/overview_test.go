package admin

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStatusSaysWhereAProcessStands(t *testing.T) {
	relays := []string{"edge-1", "edge-2"}
	for role, change := range map[string]func(*Options){
		"alone": func(o *Options) { o.Relay = relayStatus },
		"leader": func(o *Options) {
			o.Leader = func() LeaderStatus {
				return LeaderStatus{Leads: true, Term: 3, Relays: relays, Leader: "10.0.0.7:9900"}
			}
		},
		"standby": func(o *Options) { o.Leader = func() LeaderStatus { return LeaderStatus{Leader: "10.0.0.7:9900"} } },
		"relay": func(o *Options) {
			o.Source, o.Relay, o.Uplink = nil, relayStatus, func() UplinkStatus { return UplinkStatus{3, true, 5, 1, nil, ""} }
		},
	} {
		_, body := open(t, change).do(t, "GET", "/api/v1/status", "")
		var v overview
		require.NoError(t, json.Unmarshal([]byte(body), &v))
		require.Equal(t, role, v.Role)
		require.True(t, v.Ready)
		require.Equal(t, map[string]uint64{"alone": 0, "leader": 3, "standby": 0, "relay": 3}[role], v.Term)
		require.Equal(t, role == "alone" || role == "relay", v.Relay != nil)
		require.Equal(t, role == "relay", v.Uplink != nil)
		require.Equal(t, role == "leader" || role == "standby", v.Leader == "10.0.0.7:9900")
		require.Equal(t, role == "leader" || role == "standby", v.Lease != nil)
		require.Len(t, v.Relays, map[string]int{"leader": 2}[role])
		require.WithinDuration(t, time.Now(), v.Now, time.Minute)
	}
}

func TestStatusSaysWhatIsWrongWithTheLease(t *testing.T) {
	_, body := open(t, func(o *Options) { o.Leader = leaderStatus }).do(t, "GET", "/api/v1/status", "")
	var v struct{ Lease json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	require.JSONEq(t, `{"age_seconds":90,"detail":"no space left on device","cause":"full"}`, string(v.Lease))
}

func TestStatusIsComplete(t *testing.T) {
	d := open(t, func(o *Options) {
		o.Ready, o.Files = func() Readiness { return Readiness{Reason: "no Envoy is connected"} }, filesStatus
		o.Relay = relayStatus
		at := time.Date(2026, time.November, 29, 12, 0, 0, 0, time.UTC)
		o.Reloader = &fakeReloader{last: Reload{At: at, TakenAt: at.Add(-time.Hour), Refused: "line 3: no", Changed: []string{"log.level"}}}
	})
	answer, body := d.do(t, "GET", "/api/v1/status", "")
	require.Equal(t, http.StatusOK, answer.StatusCode)
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &v))
	delete(v, "now")
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, `{"version":"1.2.3","role":"alone","ready":false,"detail":"no Envoy is connected","envoys":0,"refused":[],
		"files_not_taken":{"relay":"the key does not fit"},"certificates_expire":{"listener/front":"2027-01-15T08:00:00Z"},
		"configuration":{"at":"2026-11-29T12:00:00Z","taken_at":"2026-11-29T11:00:00Z","refused":"line 3: no","changed":["log.level"],"needs_restart":[]},
		"term":0,"leader":"","relays":[],"lease":null,"uplink":null,"relay":{"strangers":8,"admitted":9,"idle_tunnels":5,"spliced_tunnels":6,
		"control_streams":7,"bytes_to_peers":100,"bytes_from_peers":200,"refused":{"bad_token":3},"refused_at":{"bad_token":"2027-01-15T08:00:00Z"}}}`, string(text))
}
