package dispatch

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// reopened is what a peer makes of an invocation that reaches it so much later.
func reopened(t *testing.T, key signing.Key, inv wire.Invocation, audience string, later time.Duration) (wire.Invocation, error) {
	t.Helper()
	payload, err := json.Marshal(inv)
	require.NoError(t, err)
	received, err := wire.DecodeInvocation(payload)
	require.NoError(t, err)
	public, err := signature.ParsePublic(key.Public())
	require.NoError(t, err)
	return signature.Open(received, public, []string{audience}, now().Add(later))
}

func TestInvocationsAreSignedForTheirFunction(t *testing.T) {
	const arn = "arn:aws:lambda:eu-central-1:123456789012:function:site"
	for name, audience := range map[string]string{"": "lambda:web", "site": "lambda:site", arn + ":live": arn} {
		synctest.Test(t, func(t *testing.T) {
			key := signing.New()
			w := newWorld(t, func(f *config.Function) { f.Lambda.FunctionName, f.Scaling.Min = name, 1 })
			require.Len(t, w.instances(), 1)
			require.Empty(t, w.invoked[0].Signature, "without a key nothing is signed")

			w = newSigningWorld(t, key, func(f *config.Function) { f.Lambda.FunctionName, f.Scaling.Min = name, 1 })
			require.Len(t, w.instances(), 1)
			sent := w.invoked[0]
			got, err := reopened(t, key, sent, audience, 0)
			require.NoError(t, err)
			sent.Signed, sent.Signature = "", ""
			require.Equal(t, sent, got)
			_, err = reopened(t, key, w.invoked[0], "lambda:other", 0)
			require.ErrorIs(t, err, signature.ErrAudience)

			// Nobody needs it when the start has failed long ago.
			start := config.DefaultFunction().Scaling.StartTimeout
			_, err = reopened(t, key, w.invoked[0], audience, start+signedFor+signature.Skew)
			require.NoError(t, err)
			_, err = reopened(t, key, w.invoked[0], audience, start+signedFor+signature.Skew+time.Second)
			require.ErrorIs(t, err, signature.ErrTime)
		})
	}
}

func TestWhatAPeerThatRegistersGetsIsSigned(t *testing.T) {
	secret, registering := static(t)
	synctest.Test(t, func(t *testing.T) {
		key := signing.New()
		w := newSigningWorld(t, key, registering)
		inv, err := w.Register(t.Context(), secret, wire.Registration{Function: "web", Environment: "laptop"})
		require.NoError(t, err)
		_, err = reopened(t, key, inv, "static:web", 0)
		require.NoError(t, err)
	})
}

// A key in the control plane alone protects nobody.
func TestAPeerWithoutAKeyIsWarnedAbout(t *testing.T) {
	for name, tt := range map[string]struct {
		signs    bool
		features wire.Features
		want     bool
	}{
		"no key anywhere":  {false, wire.PeerFeatures(), false},
		"no key there":     {true, wire.PeerFeatures(), true},
		"too old":          {true, nil, false}, // said otherwise
		"with a key":       {true, append(wire.PeerFeatures(), wire.FeatureSignedOnly), false},
		"a list of relays": {true, append(wire.PeerFeatures(), wire.FeatureKnownRelays), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := signing.Key{}
				if tt.signs {
					key = signing.New()
				}
				w := newSigningWorld(t, key, func(f *config.Function) { f.Scaling.Min = 1 })
				w.publish()
				id := w.instances()[0]
				w.Up(relays.Up{Instance: id, Environment: "env", Slots: 10, Peer: relays.Peer{Features: tt.features}})
				warned := slices.ContainsFunc(w.Functions()[0].Warnings, func(w operator.Warning) bool { return w.Word == operator.Unguarded })
				require.Equal(t, tt.want, warned)
			})
		})
	}
}

// The largest CA stands in the payload twice, and the payload has a limit.
func TestTheLargestCAFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := signing.New()
		w := newSigningWorld(t, key, func(f *config.Function) { f.Name = strings.Repeat("w", config.MaxNameLength) })
		line := strings.Repeat("x", 64) + "\n"
		longest := wire.Relay{
			Address: strings.Repeat("r", 253) + ":65535", TLS: true, Name: strings.Repeat("r", 253), CA: strings.Repeat(line, (28<<10)/len(line)),
		}
		w.relays = func() []wire.Relay { return []wire.Relay{longest} }
		f := w.list()[0]
		f.tick()
		f.mu.Lock()
		core, err := f.pool.Adopt(now())
		require.NoError(t, err)
		i := f.begin(now(), core)
		f.mu.Unlock()
		_, err = reopened(t, key, f.invocation(i), "lambda:"+f.name, 0)
		require.NoError(t, err)
	})
}

// A relay on another host checks tokens by its own clock, which may be ahead of ours.
func TestATokenIsGoodByAClockThatIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *config.Function) { c.Lambda.Timeout, c.Scaling.StartTimeout = 10*time.Second, 5*time.Second })
		w.acquire(t.Context())
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		ahead := time.Now().Add(15*time.Second + 59*time.Minute)
		claims, err := w.key.Verify(w.invoked[0].Token, ahead)
		require.NoError(t, err)
		require.Equal(t, w.invoked[0].Instance, claims.Instance)
		_, err = w.key.Verify(w.invoked[0].Token, ahead.Add(2*time.Minute))
		require.ErrorIs(t, err, token.ErrExpired)
	})
}
