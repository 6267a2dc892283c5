package keypair_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// files returns the two files of a certificate that is valid for a day around now.
func files(t *testing.T, key crypto.Signer, names ...string) (chain, private []byte) {
	t.Helper()
	return keypairtest.PEM(t, keypairtest.Wish{Names: names, From: now.Add(-12 * time.Hour), Until: now.Add(12 * time.Hour), Key: key})
}

func newECDSA(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func newRSA(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	require.NoError(t, err)
	return key
}

func newEd25519(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return key
}

// Which keys Envoy takes was asked of it.
func TestKeys(t *testing.T) {
	for name, c := range map[string]struct {
		key  crypto.Signer
		says string
	}{
		"P-256":    {newECDSA(t, elliptic.P256()), ""},
		"P-521":    {newECDSA(t, elliptic.P521()), ""},
		"RSA 2048": {newRSA(t, 2048), ""},
		"Ed25519":  {newEd25519(t), ""},
		"P-224":    {newECDSA(t, elliptic.P224()), "P-224"},
		"RSA 1024": {newRSA(t, 1024), "1024 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			chain, key := files(t, c.key, "x.test")
			pair, err := keypair.Parse(chain, key)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, now.Add(12*time.Hour), pair.Expires().UTC())
		})
	}
}

func TestWhatIsNoPair(t *testing.T) {
	chain, key := files(t, newECDSA(t, elliptic.P256()), "x.test")
	other, _ := files(t, newECDSA(t, elliptic.P256()), "x.test")
	nameless, itsKey := files(t, newECDSA(t, elliptic.P256()))
	for name, c := range map[string]struct {
		chain, key []byte
		says       string
	}{
		"of two":              {other, key, "does not match"},
		"the wrong way round": {key, chain, "certificate"},
		"garbage":             {[]byte("garbage"), key, "certificate"},
		"garbage for a key":   {chain, []byte("garbage"), "key"},
		"half a certificate":  {chain[:len(chain)/2], key, "certificate"},
		"nothing":             {nil, nil, "certificate"},
		"no name":             {nameless, itsKey, "no name"},
		"garbage in the chain": {
			append(append([]byte{}, chain...), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"...), key, "certificate 2 of the chain",
		},
	} {
		_, err := keypair.Parse(c.chain, c.key)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), string(key), name)
	}
}

func TestWhenItIsUsable(t *testing.T) {
	chain, key := files(t, newECDSA(t, elliptic.P256()), "x.test")
	pair, err := keypair.Parse(chain, key)
	require.NoError(t, err)
	require.NoError(t, pair.Usable(now))
	require.ErrorIs(t, pair.Usable(now.Add(13*time.Hour)), keypair.ErrExpired)
	require.ErrorContains(t, pair.Usable(now.Add(13*time.Hour)), "2026-11-29T00:00:00Z")
	require.ErrorIs(t, pair.Usable(now.Add(-13*time.Hour)), keypair.ErrNotYetValid)
}

func TestWhenItsChainExpires(t *testing.T) {
	chain, key := files(t, newECDSA(t, elliptic.P256()), "x.test")
	pair, err := keypair.Parse(chain, key)
	require.NoError(t, err)
	require.Zero(t, pair.ChainExpires())
	for _, until := range []time.Time{now.Add(time.Hour), now.Add(-time.Hour)} {
		above, _ := keypairtest.PEM(t, keypairtest.Wish{Names: []string{"above"}, Until: until})
		chain = append(chain, above...)
		pair, err = keypair.Parse(chain, key)
		require.NoError(t, err)
		require.Equal(t, until, pair.ChainExpires().UTC())
		require.Equal(t, now.Add(12*time.Hour), pair.Expires().UTC(), "clients may know another chain")
	}
}

func TestWhatItVouchesFor(t *testing.T) {
	for want, names := range map[string][]string{"a.test": {"192.0.2.1", "a.test", "b.test"}, "192.0.2.1": {"192.0.2.1"}, "": nil} {
		chain, key := keypairtest.PEM(t, keypairtest.Wish{CommonName: "is no name to check", Names: names})
		pair, err := keypair.Parse(chain, key)
		require.NoError(t, err)
		require.Equal(t, want, pair.Name())
	}
}

func TestWhoVouchesForIt(t *testing.T) {
	ca, other := keypairtest.NewCA(t), keypairtest.NewCA(t)
	for name, c := range map[string]struct {
		wish keypairtest.Wish
		ca   []byte
		says string
	}{
		"its CA":                {keypairtest.Wish{By: ca}, ca.PEM(), ""},
		"two of them":           {keypairtest.Wish{By: ca}, append(other.PEM(), ca.PEM()...), ""},
		"though it has expired": {keypairtest.Wish{By: ca, Until: time.Now().Add(-time.Minute)}, ca.PEM(), ""},
		"another":               {keypairtest.Wish{By: ca}, other.PEM(), "unknown authority"},
		"nobody":                {keypairtest.Wish{By: ca}, []byte("garbage"), "no PEM certificate"},
	} {
		c.wish.Names = []string{"relay.test"}
		pair, err := keypair.Parse(keypairtest.PEM(t, c.wish))
		require.NoError(t, err, name)
		if c.says == "" {
			require.NoError(t, pair.VouchedBy(c.ca, "relay.test"), name)
			require.Error(t, pair.VouchedBy(c.ca, "other.test"), name)
		} else {
			require.ErrorContains(t, pair.VouchedBy(c.ca, "relay.test"), c.says, name)
		}
	}
}
