package controlplane

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
)

// watch reads what the configuration names, and follows it until the test ends, which must be in a bubble.
func watch(t *testing.T, cfg *Config) (*outside, *logtest.Hook) {
	t.Helper()
	log, said := logtest.NewNullLogger()
	o, err := readOutside(cfg, log)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.watch.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return o, said
}

// pass is long enough for files to be taken.
func pass() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

func TestTheSigningKeyIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default()
		cfg.Signing.KeyFile = filepath.Join(t.TempDir(), "key")
		first, second := signing.New(), signing.New()
		require.NoError(t, first.Save(cfg.Signing.KeyFile))
		o, _ := watch(t, &cfg)
		require.Equal(t, first.Public(), o.signingKey().Public())
		require.NoError(t, os.WriteFile(cfg.Signing.KeyFile, []byte("garbage"), 0o600))
		pass()
		require.Equal(t, first.Public(), o.signingKey().Public())
		require.NotEmpty(t, o.status().Refused["signing"])
		require.NoError(t, os.WriteFile(cfg.Signing.KeyFile, second.PEM(), 0o600))
		pass()
		require.Equal(t, second.Public(), o.signingKey().Public())
		require.Empty(t, o.status().Refused["signing"])
	})
}

// Instances know the CA and the name that they were started with.
func TestARelayCertificateThatRunningInstancesCannotCheck(t *testing.T) {
	const warning = "instances that run now cannot check"
	synctest.Test(t, func(t *testing.T) {
		before, after := keypairtest.NewCA(t), keypairtest.NewCA(t)
		cfg := config.Default()
		cfg.Relay.TLS, cfg.Relay.CAFile = config.RelayTLSFiles, filepath.Join(t.TempDir(), "ca")
		cfg.Relay.CertificateFile, cfg.Relay.KeyFile = keypairtest.Files(t, keypairtest.Wish{Names: []string{"relay.test"}, By: before})
		write := func(cas ...*keypairtest.CA) {
			var text []byte
			for _, ca := range cas {
				text = append(text, ca.PEM()...)
			}
			require.NoError(t, os.WriteFile(cfg.Relay.CAFile, text, 0o600))
		}
		renew := func(by *keypairtest.CA, names ...string) {
			keypairtest.Replace(t, cfg.Relay.CertificateFile, cfg.Relay.KeyFile, keypairtest.Wish{Names: names, By: by})
			pass()
		}
		write(before)
		o, said := watch(t, &cfg)
		warnings := func() (n int) {
			for _, e := range said.AllEntries() {
				if strings.HasPrefix(e.Message, warning) {
					n++
				}
			}
			return n
		}
		renew(before, "relay.test")
		write(before, after)
		pass()
		renew(after, "relay.test")
		require.Zero(t, warnings(), "they have both")
		require.Contains(t, o.relay.Get().CA, string(after.PEM()))

		renew(after, "other.test")
		require.Equal(t, 1, warnings())
		shown := o.relay.Get().Pair.Leaf()
		write(before)
		pass()
		require.NotEmpty(t, o.status().Refused["relay"], "a CA that does not vouch for the certificate")
		require.Equal(t, shown, o.relay.Get().Pair.Leaf())
		renew(before, "other.test")
		require.Empty(t, o.status().Refused["relay"])
	})
}

// A certificate that comes early is taken when it is valid. One that has expired is served only if it was there at the start.
func TestWhenACertificateIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		cfg := config.Default()
		cfg.Listeners[0].TLS = &config.ListenerTLS{}
		tls := cfg.Listeners[0].TLS
		tls.CertificateFile, tls.KeyFile = keypairtest.Files(t, keypairtest.Wish{CommonName: "old", Until: now.Add(-time.Hour)})
		o, said := watch(t, &cfg)
		files.Add(o.watch, "listener/front", o.listeners["front"], nil)
		require.Equal(t, logrus.ErrorLevel, said.LastEntry().Level)
		require.Contains(t, said.LastEntry().Data["error"].(error).Error(), "expired")
		shows := func() string { return o.listeners["front"].Get().Leaf().Subject.CommonName }
		require.Equal(t, "old", shows())
		keypairtest.Replace(t, tls.CertificateFile, tls.KeyFile, keypairtest.Wish{CommonName: "new", From: now.Add(time.Hour), Until: now.Add(20 * 24 * time.Hour)})
		pass()
		require.Equal(t, "old", shows())
		require.Contains(t, o.status().Refused["listener/front"], "not valid yet")
		time.Sleep(time.Hour)
		require.Equal(t, "new", shows())
		require.WithinDuration(t, now.Add(20*24*time.Hour), o.status().Expires["listener/front"], 0)
	})
}

// A reload may name other files. A certificate that clients would refuse is not taken then, whatever was there at the start.
func TestAReloadDoesNotTakeAnExpiredCertificate(t *testing.T) {
	now := time.Now()
	listener := func(cfg *Config, wish keypairtest.Wish) {
		wish.Names = []string{"front.test"}
		cfg.Listeners = []config.Listener{{Name: "front", Address: "127.0.0.1:0", TLS: &config.ListenerTLS{}}}
		cfg.Listeners[0].TLS.CertificateFile, cfg.Listeners[0].TLS.KeyFile = keypairtest.Files(t, wish)
	}
	var cfg, next Config
	listener(&cfg, keypairtest.Wish{Until: now.Add(-time.Hour)})
	log, _ := logtest.NewNullLogger()
	o, err := readOutside(&cfg, log)
	require.NoError(t, err, "the rest works")
	_, err = o.read(&cfg)
	require.NoError(t, err, "nothing new")
	for says, wish := range map[string]keypairtest.Wish{
		"expired":       {Until: now.Add(-time.Minute)},
		"not valid yet": {From: now.Add(time.Hour), Until: now.Add(2 * time.Hour)},
	} {
		listener(&next, wish)
		_, err = o.read(&next)
		require.ErrorContains(t, err, "certificate of listener front")
		require.ErrorContains(t, err, says)
	}
	listener(&next, keypairtest.Wish{CommonName: "good"})
	read, err := o.read(&next)
	require.NoError(t, err)
	require.Equal(t, "good", read.listeners["front"].Get().Leaf().Subject.CommonName)
	_, err = newOutside(log).read(&cfg)
	require.NoError(t, err, "a start")
}
