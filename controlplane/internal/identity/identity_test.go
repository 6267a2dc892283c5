package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	one = []byte("a secret of the first cell, long enough....")
	two = []byte("a secret of another cell, long enough......")
)

func self(t testing.TB, role Role, name string, secrets ...[]byte) Source {
	s, err := NewSelf(ID{Domain, role, name}, secrets)
	require.NoError(t, err)
	return s.Get
}

// meet shakes hands, and returns what went wrong at either end.
func meet(t testing.TB, server, client *tls.Config) (atServer, atClient error) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // the client's certificate is judged after its handshake is over
		}
		_ = a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, atClient = c.Read(make([]byte, 1))
	_ = b.Close()
	return <-done, atClient
}

func TestPartsOfOneSecretTrustEachOther(t *testing.T) {
	plane := self(t, Control, "a", one).Server(Envoy, Relay)
	for _, role := range []Role{Envoy, Relay} {
		atServer, atClient := meet(t, plane, self(t, role, "pair-1", one).Client(Control))
		require.NoError(t, atServer)
		require.NoError(t, atClient)
	}
}

func TestNobodyIsTakenForWhatItIsNot(t *testing.T) {
	plane := self(t, Control, "a", one)
	stranger := func(secret []byte, role Role) Source { // who believes in its own CA alone
		a, err := NewAuthority(secret)
		require.NoError(t, err)
		pair, err := a.Issue(ID{Domain, role, "x"}, time.Now(), time.Hour)
		require.NoError(t, err)
		m, err := NewMaterial(Domain, role, pair, a.PEM())
		require.NoError(t, err)
		return func() Material { return m }
	}
	for name, c := range map[string]struct {
		server, client *tls.Config
		says           string
	}{
		"another cell's relay":              {plane.Server(Envoy, Relay), unbelieving(stranger(two, Relay).Client(Control)), "unknown authority"},
		"a control plane that dials":        {plane.Server(Envoy, Relay), unbelieving(stranger(one, Control).Client(Control)), "must be of role"},
		"a relay where Envoys are expected": {plane.Server(Envoy), self(t, Relay, "r", one).Client(Control), "must be of role envoy"},
		"a relay as a control plane":        {self(t, Relay, "r", one).Server(Envoy, Relay), self(t, Envoy, "e", one).Client(Control), "must be of role control"},
		"an Envoy as a control plane":       {self(t, Envoy, "e", one).Server(Envoy, Relay), self(t, Relay, "r", one).Client(Control), "must be of role control"},
		"without a certificate":             {plane.Server(Envoy, Relay), &tls.Config{InsecureSkipVerify: true}, ""},
		"an old TLS": {plane.Server(Envoy, Relay), func() *tls.Config {
			c := self(t, Relay, "r", one).Client(Control)
			c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12
			return c
		}(), "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			atServer, atClient := meet(t, c.server, c.client)
			require.Error(t, atServer)
			require.Error(t, atClient)
			require.Contains(t, atServer.Error()+atClient.Error(), c.says)
		})
	}
}

// unbelieving makes a client believe anybody, so that it is the server that refuses.
func unbelieving(c *tls.Config) *tls.Config {
	c.VerifyConnection = nil
	return c
}

// Everybody may change at another moment, so at no step is anybody refused.
func TestASecretIsReplacedInThreeSteps(t *testing.T) {
	steps := []Secrets{{one}, {one, two}, {two, one}, {two}}
	for i := range steps[1:] {
		for _, now := range [][2]Secrets{{steps[i], steps[i+1]}, {steps[i+1], steps[i]}} {
			plane, relay := self(t, Control, "a", now[0]...), self(t, Relay, "r", now[1]...)
			atServer, atClient := meet(t, plane.Server(Relay), relay.Client(Control))
			require.NoError(t, atServer, "step %d", i)
			require.NoError(t, atClient, "step %d", i)
		}
	}
	plane, err := NewSelf(ID{Domain, Control, "a"}, steps[0])
	require.NoError(t, err)
	server := Source(plane.Get).Server(Relay) // what listens already
	require.NoError(t, plane.Use(steps[3]))
	atServer, _ := meet(t, server, self(t, Relay, "r", two).Client(Control))
	require.NoError(t, atServer)
	atServer, _ = meet(t, server, self(t, Relay, "r", one).Client(Control))
	require.Error(t, atServer, "the old secret is worth nothing any more")
}

func TestEveryProcessDerivesTheSame(t *testing.T) {
	a, err := NewAuthority(one)
	require.NoError(t, err)
	b, err := NewAuthority(bytes.Clone(one))
	require.NoError(t, err)
	require.Equal(t, a.PEM(), b.PEM())
	other, err := NewAuthority(two)
	require.NoError(t, err)
	require.NotEqual(t, a.certificate.Subject, other.certificate.Subject)
	keys, err := Secrets{one, two}.TokenKeys()
	require.NoError(t, err)
	back, err := ParseKeys(FormatKeys(keys))
	require.NoError(t, err)
	require.Equal(t, keys, back)
	// What is derived is on other hosts and in later builds as well.
	require.Equal(t, "1YT8W7p3qQWJ67bZnoL5Eko5YchEzMy55QLm1A8jxAA=\n", string(FormatKeys(keys[:1])))
	require.Equal(t, "CN=lambda-dispatch cell f2d2d304", a.certificate.Subject.String())
}

func TestACertificateOfItsOwnIsRenewed(t *testing.T) {
	s, err := NewSelf(ID{Domain, Relay, "r"}, Secrets{one})
	require.NoError(t, err)
	before := s.Get().Pair
	require.Equal(t, before, s.Get().Pair)
	s.renew = time.Now().Add(-time.Second)
	after := s.Get().Pair
	require.NotEqual(t, before.Leaf().SerialNumber, after.Leaf().SerialNumber)
	require.NoError(t, after.Usable(time.Now().Add(-slack/2)), "clocks differ")
}

// A host whose clock was wrong when a certificate was made has another one as soon as its clock is set.
func TestACertificateIsMadeAnewWhenTheClockIsSet(t *testing.T) {
	for _, was := range []time.Duration{-2 * Life, 48 * time.Hour} {
		s, err := NewSelf(ID{Domain, Relay, "r"}, Secrets{one})
		require.NoError(t, err)
		require.NoError(t, s.issueLocked(s.authorities, time.Now().Add(was)))
		s.renew = time.Now().Add(Life / 2) // by the monotonic clock, which nobody sets
		require.NoError(t, s.Get().Pair.Usable(time.Now()), "made %v from now", was)
	}
}

func TestAnExpiredCertificateIsRefused(t *testing.T) {
	a, err := NewAuthority(one)
	require.NoError(t, err)
	pair, err := a.Issue(ID{Domain, Relay, "r"}, time.Now().Add(-48*time.Hour), time.Hour)
	require.NoError(t, err)
	m, err := NewMaterial(Domain, Relay, pair, a.PEM())
	require.NoError(t, err, "it fits, and check says that it has expired")
	atServer, _ := meet(t, self(t, Control, "a", one).Server(Relay), Source(func() Material { return m }).Client(Control))
	require.ErrorContains(t, atServer, "expired")
}

func TestMaterialThatDoesNotFit(t *testing.T) {
	a, err := NewAuthority(one)
	require.NoError(t, err)
	b, err := NewAuthority(two)
	require.NoError(t, err)
	pair, err := a.Issue(ID{Domain, Relay, "r"}, time.Now(), time.Hour)
	require.NoError(t, err)
	for says, check := range map[string]func() (Material, error){
		"no PEM":                    func() (Material, error) { return NewMaterial(Domain, Relay, pair, []byte("x")) },
		"must be of role control":   func() (Material, error) { return NewMaterial(Domain, Control, pair, a.PEM()) },
		"unknown authority":         func() (Material, error) { return NewMaterial(Domain, Relay, pair, b.PEM()) },
		"names no part of another:": func() (Material, error) { return NewMaterial("another", Relay, pair, a.PEM()) },
	} {
		_, err := check()
		require.ErrorContains(t, err, says)
	}
	for _, id := range []ID{{Domain, "king", "r"}, {Domain, Relay, ""}, {Domain, Relay, "a/b"}, {"A b", Relay, "r"}, {Domain, Relay, strings.Repeat("x", 64)}} {
		_, err := a.Issue(id, time.Now(), time.Hour)
		require.Error(t, err, "%v", id)
	}
}

func TestSecretFiles(t *testing.T) {
	fresh := NewSecret()
	got, err := ParseSecrets([]byte("# of November\n" + string(fresh) + "\n\r\n" + string(one) + "\r\n"))
	require.NoError(t, err)
	require.Equal(t, Secrets{bytes.TrimSpace(fresh), one}, got)
	require.NotEqual(t, fresh, NewSecret())
	for text, says := range map[string]string{
		"":                                  "holds no secret",
		"# nothing\n":                       "holds no secret",
		string(one) + "\nshort":             "line 2: a secret has 32 to 1024 bytes, got 5",
		strings.Repeat(string(one)+"\n", 9): "at most 8",
		strings.Repeat("x", maxSecret+1):    "got 1025",
	} {
		_, err := ParseSecrets([]byte(text))
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "short")
	}
	for _, text := range []string{"", "x", "AAAA", strings.Repeat(string(FormatKeys([][]byte{make([]byte, 32)})), 9)} {
		_, err := ParseKeys([]byte(text))
		require.Error(t, err)
	}
}

func FuzzParseSecrets(f *testing.F) {
	f.Add(NewSecret())
	f.Add([]byte("# x\n" + string(one) + "\n" + string(two)))
	f.Fuzz(func(t *testing.T, text []byte) {
		secrets, err := ParseSecrets(text)
		if err != nil {
			return
		}
		again, err := ParseSecrets(bytes.Join(secrets, []byte("\n")))
		require.NoError(t, err)
		require.Equal(t, secrets, again)
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Add(FormatKeys([][]byte{make([]byte, 32), bytes.Repeat([]byte{7}, 32)}))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		again, err := ParseKeys(FormatKeys(keys))
		require.NoError(t, err)
		require.Equal(t, keys, again)
	})
}

func FuzzOf(f *testing.F) {
	for _, uri := range []string{ID{Domain, Relay, "r"}.String(), "spiffe://lambda-dispatch/relay/", "spiffe://lambda-dispatch/relay/a/b", "https://x", "spiffe://lambda-dispatch/relay/a%2fb"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := url.Parse(text)
		if err != nil {
			return
		}
		id, err := Of(&x509.Certificate{URIs: []*url.URL{uri}}, Domain)
		if err != nil {
			return
		}
		require.NoError(t, id.Validate())
		require.Equal(t, id.String(), uri.String())
		_, err = Of(&x509.Certificate{URIs: []*url.URL{uri, uri}}, Domain)
		require.Error(t, err, "one that names two parts is nobody's")
	})
}

func BenchmarkHandshake(b *testing.B) {
	plane, relay := self(b, Control, "a", one).Server(Relay), self(b, Relay, "r", one).Client(Control)
	for b.Loop() {
		if _, err := meet(b, plane, relay); err != nil {
			b.Fatal(err)
		}
	}
}
