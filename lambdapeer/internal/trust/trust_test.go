package trust_test

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

var (
	key    = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	public = signature.PublicText(key.Public().(ed25519.PublicKey))
	web    = []string{signature.Lambda("web")}
	now    = time.UnixMilli(1_800_000_000_000)
)

func policy(t *testing.T, variables map[string]string) trust.Policy {
	t.Helper()
	p, err := trust.Read(func(name string) string { return variables[name] })
	require.NoError(t, err)
	return p
}

func invocation(relays ...wire.Relay) wire.Invocation {
	return wire.Invocation{Version: wire.Version, Instance: "i", Function: "web", Token: "t", Concurrency: 1, Relays: relays}
}

func encode(t *testing.T, inv wire.Invocation) []byte {
	t.Helper()
	data, err := json.Marshal(inv)
	require.NoError(t, err)
	return data
}

func signed(t *testing.T, inv wire.Invocation) wire.Invocation {
	t.Helper()
	inv, err := signature.Sign(inv, signature.Claims{Audience: web[0], Issued: now, Expires: now.Add(time.Minute)}, key)
	require.NoError(t, err)
	return inv
}

func TestWithAKeyOnlyWhatIsSignedIsObeyed(t *testing.T) {
	p := policy(t, map[string]string{trust.PublicKeyVar: public})
	require.False(t, p.Blind())
	inv := invocation(wire.Relay{Address: "relay.example.com:1"})
	got, err := p.Open(encode(t, signed(t, inv)), web, false, now)
	require.NoError(t, err)
	require.Equal(t, inv, got)

	var disobeyed *trust.Error
	_, err = p.Open(encode(t, inv), web, false, now)
	require.ErrorAs(t, err, &disobeyed)
	require.ErrorIs(t, err, signature.ErrUnsigned)
	_, err = p.Open(encode(t, inv), web, true, now)
	require.ErrorIs(t, err, signature.ErrUnsigned, "also from a relay that has proved its identity")
}

// An event of a gateway is the app's, whatever it is signed with; one that mixes both is nobody's.
func TestEventsOfOthers(t *testing.T) {
	for _, p := range []trust.Policy{{}, policy(t, map[string]string{trust.PublicKeyVar: public})} {
		_, err := p.Open([]byte(`{"version":"2.0","requestContext":{}}`), web, false, now)
		require.ErrorIs(t, err, wire.ErrNotOurs)
		for _, field := range []string{"requestContext", "httpMethod", "raw_path", "Records", "detail-type"} {
			mixed := strings.Replace(string(encode(t, signed(t, invocation(wire.Relay{Address: "a:1"})))), "{", `{"`+field+`":null,`, 1)
			_, err = p.Open([]byte(mixed), web, false, now)
			require.ErrorContains(t, err, field)
			require.NotErrorIs(t, err, wire.ErrNotOurs, "or else the app would get it")
		}
	}
}

func TestBlindTrustCanBeForbidden(t *testing.T) {
	payload := encode(t, invocation(wire.Relay{Address: "10.0.0.1:1"}))
	p := policy(t, nil)
	require.True(t, p.Blind())
	_, err := p.Open(payload, web, false, now)
	require.NoError(t, err)

	p = policy(t, map[string]string{trust.RequireVar: "true"})
	_, err = p.Open(payload, web, false, now)
	require.ErrorContains(t, err, "LAMBDA_DISPATCH_PEER_REQUIRE_TRUST is true, but neither LAMBDA_DISPATCH_PEER_PUBLIC_KEY nor ")
	_, err = p.Open(payload, web, true, now)
	require.NoError(t, err, "the relay that was configured has proved its identity")

	p = policy(t, map[string]string{trust.RequireVar: "true", trust.RelaysVar: "10.0.0.0/8"})
	require.False(t, p.Blind())
	_, err = p.Open(payload, web, false, now)
	require.NoError(t, err)
}

func TestEveryBadVariableIsNamed(t *testing.T) {
	bad := map[string]string{
		trust.PublicKeyVar: "x", trust.RelaysVar: "10.0.0.0/33", trust.RelayCAVar: "x", trust.RequireVar: "yes",
	}
	_, err := trust.Read(func(name string) string { return bad[name] })
	for name := range bad {
		require.ErrorContains(t, err, name+": ")
	}
	for name := range bad {
		_, err := trust.Read(func(asked string) string { return map[string]string{name: " , "}[asked] })
		require.ErrorContains(t, err, name+": ", "a list of nothing is a mistake, not permission for all")
	}
	for _, place := range []string{"*", "*.", "a..b", "relay:x", "relay:99999", "http://relay", "a*.example.com", "*.*.example.com", "::1%eth0"} {
		_, err := trust.Read(func(name string) string { return map[string]string{trust.RelaysVar: place}[name] })
		require.ErrorContains(t, err, trust.RelaysVar, place)
	}
}
