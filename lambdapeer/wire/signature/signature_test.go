package signature_test

import (
	"crypto/ed25519"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

var now = time.UnixMilli(1_800_000_000_000)

// key returns the same key for the same letter.
func key(letter string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(letter, ed25519.SeedSize)))
}

func public(letters string) (keys []ed25519.PublicKey) {
	for _, letter := range letters {
		keys = append(keys, key(string(letter)).Public().(ed25519.PublicKey))
	}
	return keys
}

func invocation() wire.Invocation {
	return wire.Invocation{
		Version: wire.Version, Instance: "i-1", Function: "web", Token: "token", Concurrency: 10,
		Relays: []wire.Relay{{Address: "relay.example.com:7443", TLS: true, Name: "relay", CA: "a\nb\u2028<&>"}},
	}
}

func claims() signature.Claims {
	return signature.Claims{Audience: signature.Lambda("web"), Issued: now, Expires: now.Add(time.Minute)}
}

func sign(t require.TestingT, inv wire.Invocation, c signature.Claims) wire.Invocation {
	signed, err := signature.Sign(inv, c, key("a"))
	require.NoError(t, err)
	return signed
}

func open(inv wire.Invocation, at time.Time) (wire.Invocation, error) {
	return signature.Open(inv, public("a"), []string{signature.Lambda("web")}, at)
}

func TestWhatIsSignedIsOpened(t *testing.T) {
	payload, err := json.Marshal(sign(t, invocation(), claims()))
	require.NoError(t, err)
	received, err := wire.DecodeInvocation(payload)
	require.NoError(t, err)
	opened, err := open(received, now)
	require.NoError(t, err)
	require.Equal(t, invocation(), opened)
}

// Other JSON encoders escape other characters and know no order of fields.
func TestASignatureSurvivesAnotherEncoder(t *testing.T) {
	payload, err := json.Marshal(sign(t, invocation(), claims()))
	require.NoError(t, err)
	var anything map[string]any
	require.NoError(t, json.Unmarshal(payload, &anything))
	payload, err = json.MarshalIndent(anything, "", "\t")
	require.NoError(t, err)
	received, err := wire.DecodeInvocation(payload)
	require.NoError(t, err)
	opened, err := open(received, now)
	require.NoError(t, err)
	require.Equal(t, invocation(), opened)
}

// What stands beside the signed text commands nobody.
func TestFieldsBesideTheTextAreNotObeyed(t *testing.T) {
	inv := sign(t, invocation(), claims())
	inv.Relays = []wire.Relay{{Address: "evil.example:1"}}
	inv.Token, inv.Concurrency, inv.Instance = "evil", 1, "evil"
	opened, err := open(inv, now)
	require.NoError(t, err)
	require.Equal(t, invocation(), opened)
}

func TestAnyChangeIsRefused(t *testing.T) {
	inv := sign(t, invocation(), claims())
	rapid.Check(t, func(t *rapid.T) {
		changed := inv
		field := rapid.SampledFrom([]*string{&changed.Signed, &changed.Signature}).Draw(t, "field")
		at := rapid.IntRange(0, len(*field)-1).Draw(t, "at")
		with := rapid.SampledFrom([]string{"", "A", "b", "0", "=", " ", "\n"}).Draw(t, "with")
		text := (*field)[:at] + with + (*field)[at+1:]
		if text == *field {
			t.Skip("the same")
		}
		wasSigned := field == &changed.Signed
		*field = text
		_, err := open(changed, now)
		if !wasSigned && err == nil {
			t.Skip("base64 with a line break")
		}
		require.ErrorIs(t, err, signature.ErrSignature)
	})
}

func TestWhatCannotBeOpened(t *testing.T) {
	good := sign(t, invocation(), claims())
	forged, err := signature.Sign(invocation(), claims(), key("b"))
	require.NoError(t, err)
	elsewhere := claims()
	elsewhere.Audience = signature.Static("web")
	stripped, half := good, good
	stripped.Signed, stripped.Signature = "", ""
	half.Signature = ""
	for name, tt := range map[string]struct {
		inv  wire.Invocation
		at   time.Time
		want error
	}{
		"never signed":               {invocation(), now, signature.ErrUnsigned},
		"the signature stripped":     {stripped, now, signature.ErrUnsigned},
		"half of it stripped":        {half, now, signature.ErrUnsigned},
		"another key":                {forged, now, signature.ErrSignature},
		"another kind of audience":   {sign(t, invocation(), elsewhere), now, signature.ErrAudience},
		"issued in the future":       {good, now.Add(-signature.Skew - time.Second), signature.ErrTime},
		"expired":                    {good, now.Add(time.Minute + signature.Skew + time.Second), signature.ErrTime},
		"long after":                 {good, now.Add(24 * time.Hour), signature.ErrTime},
		"a clock that is behind":     {good, now.Add(-signature.Skew), nil},
		"a clock that is fast":       {good, now.Add(time.Minute + signature.Skew), nil},
		"a clock that is almost off": {good, now.Add(time.Minute), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := open(tt.inv, tt.at)
			require.ErrorIs(t, err, tt.want)
			require.Equal(t, tt.want != nil, got.Instance == "", "nothing is returned beside an error")
		})
	}
}

// Rotation: functions accept both keys for a while.
func TestOneOfSeveralKeysIsEnough(t *testing.T) {
	inv := sign(t, invocation(), claims())
	for keys, want := range map[string]error{"ba": nil, "ab": nil, "bc": signature.ErrSignature, "": signature.ErrSignature} {
		_, err := signature.Open(inv, public(keys), []string{"x", signature.Lambda("web")}, now)
		require.ErrorIs(t, err, want, keys)
	}
}

func TestAudiences(t *testing.T) {
	const arn = "arn:aws:lambda:eu-central-1:123456789012:function:web"
	for name, want := range map[string]string{
		"web": "lambda:web", "web:live": "lambda:web", "123456789012:function:web": "lambda:web",
		"function:web:3": "lambda:web", arn: arn, arn + ":live": arn,
	} {
		require.Equal(t, want, signature.Of(name))
	}
	for _, other := range []string{"", "web", "arn:aws:s3:::bucket", "arn:aws:lambda:eu-central-1:1:layer:web"} {
		require.Empty(t, signature.ARN(other))
	}
}

func TestPublicKeys(t *testing.T) {
	keys := public("ab")
	read, err := signature.ParsePublic(" " + signature.PublicText(keys[0]) + ",\n" + signature.PublicText(keys[1]) + " ")
	require.NoError(t, err)
	require.Equal(t, keys, read)
	for _, bad := range []string{"x", signature.PublicText(keys[0]) + " secretsecret", signature.PublicText(keys[0])[:40]} {
		_, err := signature.ParsePublic(bad)
		require.ErrorContains(t, err, "is no Ed25519 public key")
		require.NotContains(t, err.Error(), "secret")
	}
	read, err = signature.ParsePublic("")
	require.NoError(t, err)
	require.Empty(t, read)
}

// FuzzOpen looks behind the signature: the key is known, so every text is signed.
func FuzzOpen(f *testing.F) {
	f.Add(sign(f, invocation(), claims()).Signed, int64(0))
	f.Add(`{"lambda_dispatch":1,"issued_at_ms":9223372036854775807,"expires_at_ms":-9223372036854775808}`, int64(1))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		inv := wire.Invocation{Signed: text, Signature: signature.Mark(text, key("a"))}
		opened, err := open(inv, time.UnixMilli(at))
		if err == nil {
			require.NoError(t, opened.Validate())
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	inv := sign(b, invocation(), claims())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := open(inv, now); err != nil {
			b.Fatal(err)
		}
	}
}
