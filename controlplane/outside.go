package controlplane

import (
	"fmt"
	"slices"
	"sync"
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

// outside is the content of files that others replace while the control plane runs: certificates, tokens, the signing key. The
// files are read at the start, and whenever they change.
type outside struct {
	log     logrus.FieldLogger
	watch   *files.Watch
	relay   *files.Value[relay.Identity] // nil: the relay needs none
	signing *files.Value[signing.Key]    // nil: invocations are not signed
	admin   func() string                // the token of the admin address; nil: none
	part    func() keypair.Pair          // this process's certificate in its cell; nil: it has none

	advertise string // what peers dial; empty: what the relay listens on

	publish func(listener string, pair keypair.Pair) // tells Envoy

	mu sync.Mutex // guards the field below
	variable
}

// A variable is the part for which another configuration may name other files.
type variable struct {
	listeners map[string]*files.Value[keypair.Pair] // those with TLS, by name
	tokens    map[string]*files.Value[string]       // by function
}

func newOutside(log logrus.FieldLogger) *outside {
	return &outside{
		log: log.WithField("component", "files"), watch: files.NewWatch(log), publish: func(string, keypair.Pair) {},
	}
}

// readRelayFiles is readOutside for a relay that is a process of its own.
func readRelayFiles(cfg *Config, log logrus.FieldLogger) (*outside, error) {
	o := newOutside(log)
	if err := o.readRelay(cfg.Relay); err != nil {
		return nil, fmt.Errorf("relay certificate: %w", err)
	}
	return o, o.readAdmin(cfg.Admin)
}

func readOutside(cfg *Config, log logrus.FieldLogger) (*outside, error) {
	o := newOutside(log)
	first, err := o.read(cfg)
	if err != nil {
		return nil, err
	}
	o.take(first)
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

// read reads what a configuration names for listeners and functions. What is named already is not read again.
func (o *outside) read(cfg *Config) (variable, error) {
	listeners, err := readListeners(cfg, o.listeners)
	next := variable{listeners: listeners, tokens: map[string]*files.Value[string]{}}
	if err != nil {
		return next, err
	}
	for _, f := range cfg.Functions {
		if f.Provider != config.ProviderStatic {
			continue
		}
		v, err := readUnless(o.tokens[f.Name], config.ParseToken, nil, f.Static.TokenFile)
		if err != nil {
			return next, fmt.Errorf("token of function %s: %w", f.Name, err)
		}
		next.tokens[f.Name] = v
	}
	return next, nil
}

// readListeners reads the certificates of listeners, by name, unless they are those that were read before. While a process runs, one that
// clients would refuse is an error; before is nil at its start.
func readListeners(cfg *Config, before map[string]*files.Value[keypair.Pair]) (map[string]*files.Value[keypair.Pair], error) {
	out := map[string]*files.Value[keypair.Pair]{}
	for _, l := range cfg.Listeners {
		if l.TLS == nil {
			continue
		}
		v, err := readUnless(before[l.Name], config.ParsePair, usable, l.TLS.CertificateFile, l.TLS.KeyFile)
		if err == nil && before != nil && v != before[l.Name] {
			err = usable(v.Get())
		}
		if err != nil {
			return out, fmt.Errorf("certificate of listener %s: %w", l.Name, err)
		}
		out[l.Name] = v
	}
	return out, nil
}

// readUnless reads files, unless that is what was read before.
func readUnless[T any](
	before *files.Value[T], parse func([][]byte) (T, error), fit func(T) error, names ...string,
) (*files.Value[T], error) {
	if before != nil && slices.Equal(before.Names(), names) {
		return before, nil
	}
	return files.Read(parse, fit, names...)
}

// take watches the files that were read, instead of the former ones. One goroutine at a time reads and takes.
func (o *outside) take(next variable) {
	before := o.variable
	o.mu.Lock()
	o.variable = next
	o.mu.Unlock()
	rewatch(o.watch, before.listeners, next.listeners, listenerFiles, func(name string, v *files.Value[keypair.Pair]) func(keypair.Pair) {
		use := func(now keypair.Pair) {
			o.sayValidity(listenerFiles(name), now)
			o.publish(name, now)
		}
		use(v.Get())
		return use
	})
	rewatch(o.watch, before.tokens, next.tokens, tokenFiles, func(string, *files.Value[string]) func(string) { return nil })
}

// rewatch watches next instead of before. begin is called for each value that is new, and returns what is called when it changes.
func rewatch[T any](
	w *files.Watch, before, next map[string]*files.Value[T], called func(string) string, begin func(string, *files.Value[T]) func(T),
) {
	for name, v := range before {
		if next[name] != v {
			w.Remove(called(name))
		}
	}
	for name, v := range next {
		if before[name] != v {
			files.Add(w, called(name), v, begin(name, v))
		}
	}
}

// tokensOf are the tokens of functions whose peers register by themselves.
func (v variable) tokensOf() map[string]func() string {
	out := map[string]func() string{}
	for name, token := range v.tokens {
		out[name] = token.Get
	}
	return out
}

func tokenFiles(function string) string { return "token/" + function }

func listenerFiles(name string) string { return "listener/" + name }

// usable keeps a certificate that clients would refuse from replacing another. The first one may be: the rest works.
func usable(pair keypair.Pair) error { return pair.Usable(time.Now()) }

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
		o.warnStranded(before, now)
		before = now
	})
	return nil
}

// warnStranded warns if running instances cannot check the new certificate: they know the former CA and name.
func (o *outside) warnStranded(before, now relay.Identity) {
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

// follow gives Envoy the listeners' certificates, now and whenever they change. It is called before anything is watched.
func (o *outside) follow(x *xds.Server) {
	o.publish = x.SetCertificate
	for name, v := range o.listeners {
		x.SetCertificate(name, v.Get())
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

// status is what operators see of the files.
func (o *outside) status() admin.FilesStatus {
	s := admin.FilesStatus{Expires: map[string]time.Time{}, Refused: map[string]string{}}
	for _, name := range o.watch.Names() {
		s.Refused[name] = ""
	}
	for name, err := range o.watch.Refused() {
		s.Refused[name] = err.Error()
	}
	o.mu.Lock()
	listeners := o.listeners
	o.mu.Unlock()
	for name, v := range listeners {
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
