package controlplane

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// outside is what files hold that others replace while the control plane runs: certificates, tokens, the signing key. It is
// read at the start, and whenever it changes.
type outside struct {
	log       logrus.FieldLogger
	watch     *files.Watch
	listeners map[string]*files.Value[keypair.Pair] // those with TLS, by name
	relay     *files.Value[relay.Identity]          // nil: the relay needs none
	tokens    map[string]func() string              // by function
	signing   *files.Value[signing.Key]             // nil: invocations are not signed
	admin     func() string                         // the token of the admin address; nil: none
	part      func() keypair.Pair                   // this process's certificate in its cell; nil: it has none
	advertise string                                // what peers dial; empty: what the relay listens on
}

func newOutside(log logrus.FieldLogger) *outside {
	return &outside{
		log: log.WithField("component", "files"), watch: files.NewWatch(log),
		listeners: map[string]*files.Value[keypair.Pair]{}, tokens: map[string]func() string{},
	}
}

// readRelayFiles is readOutside of a relay that runs by itself.
func readRelayFiles(cfg *Config, log logrus.FieldLogger) (*outside, error) {
	o := newOutside(log)
	if err := o.readRelay(cfg.Relay); err != nil {
		return nil, fmt.Errorf("relay certificate: %w", err)
	}
	return o, o.readAdmin(cfg.Admin)
}

func readOutside(cfg *Config, log logrus.FieldLogger) (*outside, error) {
	o := newOutside(log)
	for _, l := range cfg.Listeners {
		if err := o.readListener(l); err != nil {
			return nil, fmt.Errorf("certificate of listener %s: %w", l.Name, err)
		}
	}
	for _, f := range cfg.Functions {
		if err := o.readToken(f); err != nil {
			return nil, fmt.Errorf("token of function %s: %w", f.Name, err)
		}
	}
	if err := o.readRelay(cfg.Relay); err != nil {
		return nil, fmt.Errorf("relay certificate: %w", err)
	}
	if err := o.readSigning(cfg.Signing); err != nil {
		return nil, fmt.Errorf("signing.key_file: %w", err)
	}
	return o, o.readAdmin(cfg.Admin)
}

func (o *outside) readAdmin(a config.Admin) error {
	if a.TokenFile == "" {
		return nil
	}
	v, err := files.Read(config.ParseAdminToken, nil, a.TokenFile)
	if err != nil {
		return fmt.Errorf("admin.token_file: %w", err)
	}
	o.admin = v.Get
	files.Add(o.watch, "admin", v, nil)
	return nil
}

func (o *outside) readListener(l config.Listener) error {
	if l.TLS == nil {
		return nil
	}
	v, err := files.Read(config.ParsePair, usable, l.TLS.CertificateFile, l.TLS.KeyFile)
	if err == nil {
		o.listeners[l.Name] = v
		o.sayValidity(listenerFiles(l.Name), v.Get())
	}
	return err
}

func listenerFiles(name string) string { return "listener/" + name }

// usable keeps a certificate that clients would refuse from replacing another. The first one may be: the rest works.
func usable(pair keypair.Pair) error { return pair.Usable(time.Now()) }

func (o *outside) readToken(f config.Function) error {
	if f.Provider != config.ProviderStatic {
		return nil
	}
	v, err := files.Read(config.ParseToken, nil, f.Static.TokenFile)
	if err == nil {
		o.tokens[f.Name] = v.Get
		files.Add(o.watch, "token/"+f.Name, v, nil)
	}
	return err
}

const relayFiles = "relay"

func (o *outside) readRelay(r config.Relay) error {
	if r.TLS != config.RelayTLSFiles {
		return nil
	}
	parse := func(contents [][]byte) (relay.Identity, error) {
		pair, err := config.ParseRelayPair(contents)
		id := relay.Identity{Pair: pair}
		if len(contents) > 2 {
			id.CA = string(contents[2])
		}
		return id, err
	}
	v, err := files.Read(parse, func(next relay.Identity) error { return usable(next.Pair) }, r.Files()...)
	if err != nil {
		return err
	}
	o.relay = v
	before := v.Get()
	o.sayValidity(relayFiles, before.Pair)
	files.Add(o.watch, relayFiles, v, func(now relay.Identity) {
		o.sayValidity(relayFiles, now.Pair)
		o.sayStranded(before, now)
		before = now
	})
	return nil
}

// sayStranded warns if instances that run cannot check the new certificate: they know the CA and the name of before.
func (o *outside) sayStranded(before, now relay.Identity) {
	if before.CA == "" {
		return
	}
	if err := now.Pair.VouchedBy([]byte(before.CA), before.Pair.Name()); err != nil {
		o.log.WithError(err).Warn("instances that run now cannot check the relay's new certificate, and dial no more tunnels: " +
			"to change the CA without this, have both in relay.ca_file for as long as an instance lives")
	}
}

func (o *outside) readSigning(s config.Signing) error {
	if s.KeyFile == "" {
		return nil
	}
	parse := func(contents [][]byte) (signing.Key, error) { return signing.Parse(contents[0]) }
	v, err := files.Read(parse, nil, s.KeyFile)
	if err == nil {
		o.signing = v
		files.Add(o.watch, "signing", v, func(now signing.Key) {
			o.log.WithField("public_key", now.Public()).Info("invocations are signed with another key")
		})
	}
	return err
}

// signingKey is the one to sign with now. The zero Key: none.
func (o *outside) signingKey() signing.Key {
	if o.signing == nil {
		return signing.Key{}
	}
	return o.signing.Get()
}

// follow gives Envoy the listeners' certificates, now and whenever they change.
func (o *outside) follow(x *xds.Server) {
	for name, v := range o.listeners {
		x.SetCertificate(name, v.Get())
		files.Add(o.watch, listenerFiles(name), v, func(now keypair.Pair) {
			o.sayValidity(listenerFiles(name), now)
			x.SetCertificate(name, now)
		})
	}
}

func (o *outside) sayValidity(name string, pair keypair.Pair) {
	log := o.log.WithFields(logrus.Fields{"file": name, "expires": pair.Expires().UTC().Format(time.RFC3339)})
	switch err := pair.Usable(time.Now()); {
	case err != nil:
		log.WithError(err).Error("clients refuse this certificate")
	case time.Until(pair.Expires()) < keypair.Soon:
		log.Warn("this certificate expires soon")
	}
}

// status is what operators see of it.
func (o *outside) status() admin.FilesStatus {
	s := admin.FilesStatus{Expires: map[string]time.Time{}, Refused: map[string]string{}}
	for _, name := range o.watch.Names() {
		s.Refused[name] = ""
	}
	for name, err := range o.watch.Refused() {
		s.Refused[name] = err.Error()
	}
	for name, v := range o.listeners {
		s.Expires[listenerFiles(name)] = v.Get().Expires()
	}
	if o.relay != nil {
		s.Expires[relayFiles] = o.relay.Get().Pair.Expires()
	}
	if o.part != nil {
		s.Expires[cellFiles] = o.part().Expires()
	}
	return s
}
