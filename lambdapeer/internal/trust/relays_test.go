package trust_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// dialled tells whether an invocation's relay is obeyed and then dialled at the address that its name leads to.
func dialled(t *testing.T, p trust.Policy, relay wire.Relay, leadsTo string) error {
	t.Helper()
	if _, err := p.Open(encode(t, invocation(relay)), web, false, now); err != nil {
		return err
	}
	if control := p.Relays.Control(relay.Address); control != nil {
		return control("tcp", leadsTo, nil)
	}
	return nil
}

func TestOnlyAllowedRelaysAreDialled(t *testing.T) {
	for _, tt := range []struct {
		allowed, address, leadsTo string
		ok                        bool
	}{
		{"", "evil.example:1", "203.0.113.1:1", true},
		{"relay.example.com", "relay.example.com:7443", "203.0.113.1:7443", true},
		{"Relay.Example.com.", "RELAY.example.COM.:7443", "203.0.113.1:7443", true},
		{"relay.example.com", "relay.example.com.evil.example:1", "203.0.113.1:1", false},
		{"relay.example.com", "evilrelay.example.com:1", "203.0.113.1:1", false},
		{"relay.example.com", "203.0.113.1:1", "203.0.113.1:1", false},
		{"relay.example.com:7443", "relay.example.com:7443", "203.0.113.1:7443", true},
		{"relay.example.com:7443", "relay.example.com:22", "203.0.113.1:22", false},
		{"*.example.com", "a.example.com:1", "203.0.113.1:1", true},
		{"*.example.com", "a.b.example.com:1", "203.0.113.1:1", false},
		{"*.example.com", "example.com:1", "203.0.113.1:1", false},
		{"*.example.com", ".example.com:1", "203.0.113.1:1", false},
		{"10.0.0.0/16, fd00::/8", "10.0.3.4:1", "10.0.3.4:1", true},
		{"10.0.0.0/16, fd00::/8", "[::ffff:10.0.3.4]:1", "10.0.3.4:1", true},
		{"10.0.0.0/16, fd00::/8", "[fd00::1]:1", "[fd00::1]:1", true},
		{"10.0.0.0/16, fd00::/8", "10.1.3.4:1", "10.1.3.4:1", false},
		{"10.0.0.7:7443", "10.0.0.7:7443", "10.0.0.7:7443", true},
		{"10.0.0.7:7443", "10.0.0.7:22", "10.0.0.7:22", false},
		{"10.0.0.7:7443", "10.0.0.8:7443", "10.0.0.8:7443", false},
		// A name that nobody has allowed counts by where it leads, at the moment of the connection.
		{"10.0.0.0/16", "evil.example:1", "10.0.0.1:1", true},
		{"10.0.0.0/16", "evil.example:1", "127.0.0.1:1", false},
		{"10.0.0.0/16", "evil.example:1", "[::ffff:127.0.0.1]:1", false},
		{"10.0.0.7:7443", "evil.example:22", "10.0.0.7:22", false},
		{"127.0.0.0/8", "localhost:1", "[::1%lo]:1", false},
	} {
		t.Run(fmt.Sprint(tt.allowed, " ", tt.address, " ", tt.leadsTo), func(t *testing.T) {
			p := policy(t, map[string]string{trust.RelaysVar: tt.allowed})
			err := dialled(t, p, wire.Relay{Address: tt.address}, tt.leadsTo)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, trust.RelaysVar+" does not allow ")
		})
	}
}

func TestEveryRelayOfAnInvocationMustBeAllowed(t *testing.T) {
	p := policy(t, map[string]string{trust.RelaysVar: "relay.example.com"})
	_, err := p.Open(encode(t, invocation(wire.Relay{Address: "relay.example.com:1"}, wire.Relay{Address: "evil.example:1"})), web, false, now)
	require.ErrorContains(t, err, "evil.example")
}

func ca(text string) (certificate, hash string) {
	sum := sha256.Sum256([]byte(text))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)})), hex.EncodeToString(sum[:])
}

// Whoever sends the invocation chooses its CA, so the CA must be a known one, and the only one.
func TestOnlyAllowedCAsVouchForARelay(t *testing.T) {
	ours, hash := ca("ours")
	other, second := ca("other")
	relay := func(tls bool, ca string) wire.Relay {
		return wire.Relay{Address: "relay.example.com:1", TLS: tls, Name: "relay", CA: ca}
	}
	p := policy(t, map[string]string{trust.RelayCAVar: strings.ToUpper(hash)})
	require.False(t, p.Blind())
	require.NoError(t, dialled(t, p, relay(true, ours), "203.0.113.1:1"))
	for name, bad := range map[string]wire.Relay{
		"a CA of the sender": relay(true, other), "beside ours": relay(true, ours+other), "the system's": relay(true, ""),
		"without TLS": relay(false, ours),
	} {
		require.ErrorContains(t, dialled(t, p, bad, "203.0.113.1:1"), trust.RelayCAVar, name)
	}
	p = policy(t, map[string]string{trust.RelayCAVar: hash + " " + second})
	require.NoError(t, dialled(t, p, relay(true, ours+other), "203.0.113.1:1"))

	// Both kinds of limits hold.
	p = policy(t, map[string]string{trust.RelayCAVar: hash, trust.RelaysVar: "10.0.0.0/8"})
	require.NoError(t, dialled(t, p, relay(true, ours), "10.0.0.1:1"))
	require.Error(t, dialled(t, p, relay(true, ours), "11.0.0.1:1"))
	require.Error(t, dialled(t, p, relay(true, other), "10.0.0.1:1"))
}
