package program

import (
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/lifecycle"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

var signingKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))

func publicText() string { return signature.PublicText(signingKey.Public().(ed25519.PublicKey)) }

// signedPayload is an invocation that was signed so long ago.
func signedPayload(t *testing.T, audience string, ago time.Duration, relays ...*relaytest.Relay) string {
	t.Helper()
	issued := time.Now().Add(-ago)
	inv, err := signature.Sign(relaytest.Invocation(5, relays...),
		signature.Claims{Audience: audience, Issued: issued, Expires: issued.Add(time.Minute)}, signingKey)
	require.NoError(t, err)
	data, err := json.Marshal(inv)
	require.NoError(t, err)
	return string(data)
}

// requireRefused asks for a function error of which the sender learns why, and that no relay has heard of it.
func requireRefused(t *testing.T, api *runtimetest.API, relay *relaytest.Relay, why string) {
	t.Helper()
	answer := api.Answer(t)
	require.True(t, answer.Error, answer.Body)
	require.Contains(t, answer.Body, `"errorType":"LambdaDispatch.Untrusted"`)
	require.Contains(t, answer.Body, why)
	require.Zero(t, relay.Dials(wire.ControlPath)+relay.Dials(wire.TunnelPath))
}

func TestWithAPublicKeyNobodyElseCommandsThePeer(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.StartTLS(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {})
	start(t, map[string]string{
		apiVar: api.Address(), portVar: portOf(app), trust.PublicKeyVar: publicText(), lifecycle.FunctionNameVar: "web",
	})
	for name, tt := range map[string]struct{ payload, why string }{
		"unsigned":                {payload(t, 5, relay), "not signed"},
		"for another function":    {signedPayload(t, signature.Lambda("other"), 0, relay), "another function"},
		"for another account":     {signedPayload(t, strings.Replace(runtimetest.ARN, "123456789012", "999999999999", 1), 0, relay), "another function"},
		"replayed after an hour":  {signedPayload(t, signature.Lambda("web"), time.Hour, relay), "expired"},
		"for peers that register": {signedPayload(t, signature.Static("web"), 0, relay), "another function"},
	} {
		t.Run(name, func(t *testing.T) {
			api.Invoke("x", tt.payload, time.Now().Add(time.Minute))
			requireRefused(t, api, relay, tt.why)
		})
	}
	for _, audience := range []string{signature.Lambda("web"), runtimetest.ARN} {
		api.Invoke("good", signedPayload(t, audience, 0, relay), time.Now().Add(time.Minute))
		control, _ := relay.Welcome(t)
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
		require.Equal(t, wire.ReasonScaleIn, reportOf(t, api.Answer(t)).Reason)
	}
	api.Invoke("other", event("GET", "/"), time.Now().Add(time.Minute))
	require.False(t, api.Answer(t).Error, "events of others go on")
}

func TestOnlyAllowedRelaysAreDialled(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), trust.RelaysVar: "10.9.0.0/16, relay.example.com"})
	api.Invoke("an address", payload(t, 5, relay), time.Now().Add(time.Minute))
	requireRefused(t, api, relay, "does not allow the relay 127.0.0.1:")

	// A name that leads to an address which is not allowed is found when it is resolved.
	_, port, err := net.SplitHostPort(relay.Wire().Address)
	require.NoError(t, err)
	inv := relaytest.Invocation(5, relay)
	inv.Relays[0].Address, inv.DialTimeout = "localhost:"+port, wire.Millis(50*time.Millisecond)
	data, err := json.Marshal(inv)
	require.NoError(t, err)
	api.Invoke("a name", string(data), time.Now().Add(time.Minute))
	report := reportOf(t, api.Answer(t))
	require.Equal(t, wire.ReasonRelayUnreachable, report.Reason)
	require.Contains(t, report.Detail, "LAMBDA_DISPATCH_PEER_RELAYS does not allow ")
	require.Contains(t, report.Detail, ":"+port+", to which localhost leads")
	require.Zero(t, relay.Dials(wire.ControlPath)+relay.Dials(wire.TunnelPath))
}

func TestWithoutTrustThePeerMayRefuseEverybody(t *testing.T) {
	leaks(t)
	api, relay := runtimetest.Start(t), relaytest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {})
	start(t, map[string]string{apiVar: api.Address(), portVar: portOf(app), trust.RequireVar: "true"})
	api.Invoke("x", payload(t, 5, relay), time.Now().Add(time.Minute))
	requireRefused(t, api, relay, "LAMBDA_DISPATCH_PEER_REQUIRE_TRUST is true, but neither")
}

// A relay that answers a registration is trusted no more than an invoker is.
func TestARegistrationsAnswerIsSignedForStaticPeers(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	app := newApp(t, func(w http.ResponseWriter, _ *http.Request) {})
	answers := make(chan string, 2)
	answers <- signedPayload(t, signature.Lambda("web"), 0, relay)
	answers <- signedPayload(t, signature.Static("web"), 0, relay)
	relay.HandleRegister(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(<-answers)) })
	start(t, map[string]string{
		portVar: portOf(app), trust.PublicKeyVar: publicText(), lifecycle.TokenVar: "t",
		lifecycle.RelayVar: "http://" + relay.Wire().Address, lifecycle.FunctionVar: "web",
	})
	relay.Welcome(t)
	require.Empty(t, answers, "the first one was not obeyed")
}
