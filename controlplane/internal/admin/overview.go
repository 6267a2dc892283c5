package admin

import (
	"net/http"
	"time"
)

// An overview is the answer of /api/v1/status: the state of this process, without that of functions.
type overview struct {
	Version string    `json:"version"`
	Now     time.Time `json:"now"`
	Role    string    `json:"role"`   // one of the constants below
	Ready   bool      `json:"ready"`  // as /readyz says
	Detail  string    `json:"detail"` // why not
	knowledge
	Certificates  map[string]time.Time `json:"certificates_expire"` // those in use, by name
	Configuration *Reload              `json:"configuration"`       // how it was last read; null: it is not read again

	Lease *lease `json:"lease"` // of a control plane that is not alone; null: this is none

	Term   uint64        `json:"term"`   // of a leader, or the highest that a relay has seen; 0: none
	Leader string        `json:"leader"` // the admin address of whoever leads, as this process read it last
	Relays []string      `json:"relays"` // attached to this leader, by name
	Relay  *RelayStatus  `json:"relay"`  // in this process; null: none
	Uplink *UplinkStatus `json:"uplink"` // of a relay that runs by itself; null: this is none
}

// A lease is how the store of the lease answers this process.
type lease struct {
	AgeSeconds float64 `json:"age_seconds"` // since it last did
	Detail     string  `json:"detail"`      // what is wrong with it; empty: nothing
	Cause      string  `json:"cause"`       // the same in a word
}

// Roles of a process.
const (
	RoleAlone   = "alone" // control plane and relay in one process
	RoleLeader  = "leader"
	RoleStandby = "standby"
	RoleRelay   = "relay"
)

func overviewOf(o Options) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		ready := o.Ready()
		v := overview{
			Version: o.Version, Now: time.Now().UTC(), Role: RoleAlone, Ready: ready.Reason == "", Detail: ready.Reason,
			knowledge: knowledge{ready.Envoys, orEmpty(ready.Refused), notTaken(o.Files)}, Certificates: map[string]time.Time{},
		}
		if o.Files != nil {
			v.Certificates = utc(o.Files().Expires)
		}
		if o.Reloader != nil {
			last := filled(o.Reloader.Last())
			v.Configuration = &last
		}
		v.place(o)
		answer(w, v)
	}
}

// place fills in the process's role, and who leads.
func (v *overview) place(o Options) {
	if o.Relay != nil {
		relay := o.Relay()
		v.Relay = &relay
	}
	if o.Uplink != nil {
		uplink := o.Uplink()
		v.Role, v.Term, v.Uplink = RoleRelay, uplink.Term, &uplink
	}
	if o.Leader != nil {
		l := o.Leader()
		v.Role, v.Term, v.Leader, v.Relays = RoleStandby, l.Term, l.Leader, l.Relays
		v.Lease = &lease{l.Lease.Age.Seconds(), l.Lease.Detail, l.Lease.Cause}
		if l.Leads {
			v.Role = RoleLeader
		}
	}
	v.Relays = orEmpty(v.Relays)
}

func utc(times map[string]time.Time) map[string]time.Time {
	out := make(map[string]time.Time, len(times))
	for name, at := range times {
		out[name] = at.UTC()
	}
	return out
}
