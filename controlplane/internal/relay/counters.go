package relay

import (
	"sync/atomic"
	"time"
)

// A Drop says why the relay refused or gave up a connection. Its text is a metric label.
type Drop uint8

// Drops of connections that peers dial, in the order in which they are checked; then of connections that Envoy opens.
const (
	DropSilent  Drop = iota // no byte came in time
	DropGaveWay             // too many connections had not shown a valid token
	DropTLSHandshake
	DropHandshakeTimeout
	DropMalformedRequest
	DropRequestTooLarge
	DropUnknownPath
	DropWrongMethod
	DropUpgradeRequired
	DropEarlyBytes // before the 101, or on a tunnel before Envoy's
	DropTokenMissing
	DropTokenMalformed
	DropTokenForged
	DropTokenExpired
	DropUnknownInstance // never expected, ended or forgotten: a replay
	DropUnsettled       // no leader has said yet which instances to expect
	DropWrongFunction
	DropTooManyConnections
	DropTooManyTunnels
	DropTunnelsTooOften
	DropControlTooOften
	DropRegisterRefused
	DropHelloTimeout
	DropHelloInvalid
	DropHelloVersion
	DropHelloInstance
	DropControlExists
	DropControlInvalid // a control message after the hello
	DropMessagesTooOften
	DropNoTunnel       // no tunnel came for Envoy's connection within TunnelWait
	DropTooManyWaiting // too many of Envoy's connections wait for a tunnel
	drops
)

var dropLabels = [drops]string{
	DropSilent:             "silent",
	DropGaveWay:            "gave_way",
	DropTLSHandshake:       "tls_handshake",
	DropHandshakeTimeout:   "handshake_timeout",
	DropMalformedRequest:   "malformed_request",
	DropRequestTooLarge:    "request_too_large",
	DropUnknownPath:        "unknown_path",
	DropWrongMethod:        "wrong_method",
	DropUpgradeRequired:    "upgrade_required",
	DropEarlyBytes:         "early_bytes",
	DropTokenMissing:       "token_missing",
	DropTokenMalformed:     "token_malformed",
	DropTokenForged:        "token_forged",
	DropTokenExpired:       "token_expired",
	DropUnknownInstance:    "unknown_instance",
	DropUnsettled:          "unsettled",
	DropWrongFunction:      "wrong_function",
	DropTooManyConnections: "too_many_connections",
	DropTooManyTunnels:     "too_many_tunnels",
	DropTunnelsTooOften:    "tunnels_too_often",
	DropControlTooOften:    "control_too_often",
	DropRegisterRefused:    "register_refused",
	DropHelloTimeout:       "hello_timeout",
	DropHelloInvalid:       "hello_invalid",
	DropHelloVersion:       "hello_version",
	DropHelloInstance:      "hello_instance",
	DropControlExists:      "control_exists",
	DropControlInvalid:     "control_invalid",
	DropMessagesTooOften:   "messages_too_often",
	DropNoTunnel:           "no_tunnel",
	DropTooManyWaiting:     "too_many_waiting",
}

// String returns the label: lower case and underscores.
func (d Drop) String() string { return dropLabels[d] }

// Stats is a snapshot of the relay's gauges and counters. Its fields are read one after the other, not at one moment.
type Stats struct {
	Strangers   int64 // open connections that have not shown a valid token yet
	Connections int64 // open connections of peers that were let in
	Instances   int64 // expected and not yet ended
	Up          int64 // instances that can serve
	TunnelsIdle int64
	Spliced     int64 // connections of Envoy that are joined to a tunnel
	Waiting     int64 // connections of Envoy that wait for a tunnel

	Accepted       uint64 // connections that peers dialled
	BytesToPeers   uint64
	BytesFromPeers uint64
	Dropped        map[Drop]uint64    // every Drop has an entry
	LastDropped    map[Drop]time.Time // only those that have happened have one
}

type counters struct {
	connections, instances, up, tunnelsIdle, spliced, waiting atomic.Int64
	accepted, toPeers, fromPeers                              atomic.Uint64
	dropped                                                   [drops]atomic.Uint64
	lastDropped                                               [drops]atomic.Int64 // Unix nanoseconds; 0: never
}

func (c *counters) drop(d Drop) {
	c.dropped[d].Add(1)
	c.lastDropped[d].Store(time.Now().UnixNano())
}

func (c *counters) snapshot() Stats {
	s := Stats{
		Connections: c.connections.Load(), Instances: c.instances.Load(), Up: c.up.Load(),
		TunnelsIdle: c.tunnelsIdle.Load(), Spliced: c.spliced.Load(), Waiting: c.waiting.Load(),
		Accepted: c.accepted.Load(), BytesToPeers: c.toPeers.Load(), BytesFromPeers: c.fromPeers.Load(),
		Dropped: make(map[Drop]uint64, drops), LastDropped: map[Drop]time.Time{},
	}
	for d := range drops {
		s.Dropped[d] = c.dropped[d].Load()
		if last := c.lastDropped[d].Load(); last != 0 {
			s.LastDropped[d] = time.Unix(0, last)
		}
	}
	return s
}
