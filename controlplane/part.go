package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/token"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
)

// callers are who may call what of a control plane or a caretaker.
var callers = trust.Services{
	discoveryv3.AggregatedDiscoveryService_ServiceDesc.ServiceName: {identity.Envoy},
	extprocv3.ExternalProcessor_ServiceDesc.ServiceName:            {identity.Envoy},
	uplink.ServiceName:                      {identity.Relay},
	healthv1.Health_ServiceDesc.ServiceName: {identity.Envoy, identity.Relay},
}

// A part is how a process of a cell identifies itself to others, and how it recognises them.
type part struct {
	key    token.Key       // of instances' tokens
	source identity.Source // nil: nobody shows certificates

	// Where this process has the cell's secrets; nil else.
	secrets func() identity.Secrets
	changed chan struct{} // says that there are others
}

// server is the credentials of a control plane's address.
func (p part) server(c config.Cell, log logrus.FieldLogger) credentials.TransportCredentials {
	switch {
	case c.Address == "":
		return trust.Socket()
	case p.source == nil:
		return trust.Loopback()
	default:
		return trust.Server(p.source, (&refusals{log: log.WithField("component", "cell")}).note, identity.Envoy, identity.Relay)
	}
}

// refusals says in the log whose certificates are refused, the same once a minute.
type refusals struct {
	log logrus.FieldLogger

	mu   sync.Mutex // guards the fields below
	said map[string]time.Time
	last time.Time
}

const (
	refusalAgain = time.Minute
	refusalOther = time.Second
	maxRefusals  = 64
)

func (r *refusals) note(remote net.Addr, err error) {
	what, _, _ := strings.Cut(err.Error(), ": current time") // which is another one each time
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.last) < refusalOther || now.Sub(r.said[what]) < refusalAgain {
		return
	}
	if r.said == nil || len(r.said) >= maxRefusals {
		r.said = map[string]time.Time{}
	}
	r.said[what], r.last = now, now
	r.log.WithField("remote", remote.String()).WithError(err).Warn("the certificate of one that dials this control plane is not accepted")
}

// wrong says what is wrong with this process's own certificate; nil: nothing is, by this host's clock.
func (p part) wrong() error {
	if p.source == nil {
		return nil
	}
	return p.source().Pair.Usable(time.Now())
}

// client is the credentials of a process that dials control planes.
func (p part) client() credentials.TransportCredentials {
	if p.source == nil {
		return trust.Loopback()
	}
	return trust.Client(p.source)
}

// readPart reads the files that make this process a part of its cell, in a role, under a name that the operator's certificate may
// replace. What changes in them is used from then on.
func (o *outside) readPart(cfg *Config, role identity.Role, name string) (p part, err error) {
	cell := cfg.Cell
	if cell.SecretFile != "" {
		p, err = o.readSecret(cell, identity.ID{Domain: cell.TrustDomain, Role: role, Name: name})
	} else if p.key, err = o.readTokenKey(cfg); err == nil && cell.CertificateFile == "" {
		return p, nil
	}
	if err != nil || cell.CertificateFile == "" {
		return p, err
	}
	v, err := files.Read(cell.ParseCellPair(role), usableMaterial, cell.Files()...)
	if err != nil {
		return p, fmt.Errorf("cell.certificate_file: %w", err)
	}
	files.Add(o.watch, cellFiles, v, func(now identity.Material) { o.sayValidity(cellFiles, now.Pair) })
	o.sayValidity(cellFiles, v.Get().Pair)
	p.source = v.Get
	o.part = func() keypair.Pair { return v.Get().Pair }
	return p, nil
}

// cellFiles names the files of this part's certificate.
const cellFiles = "cell"

func usableMaterial(m identity.Material) error { return usable(m.Pair) }

// readSecret makes a part of the cell's secret.
func (o *outside) readSecret(cell config.Cell, id identity.ID) (part, error) {
	v, err := files.Read(config.ParseSecrets, nil, cell.SecretFile)
	if err != nil {
		return part{}, fmt.Errorf("cell.secret_file: %w", err)
	}
	self, err := identity.NewSelf(id, v.Get())
	if err != nil {
		return part{}, fmt.Errorf("a certificate for %s: %w", id, err)
	}
	keys, err := v.Get().TokenKeys()
	if err != nil {
		return part{}, err
	}
	key, err := token.KeyOf(keys...)
	if err != nil {
		return part{}, err
	}
	changed := make(chan struct{}, 1)
	files.Add(o.watch, "secret", v, func(now identity.Secrets) {
		keys, err := now.TokenKeys()
		if err = errors.Join(err, self.Use(now)); err == nil {
			err = key.Change(keys...)
		}
		if err != nil {
			o.log.WithError(err).Error("the cell's new secret cannot be used")
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	o.part = func() keypair.Pair { return self.Get().Pair }
	return part{key: key, source: self.Get, secrets: v.Get, changed: changed}, nil
}

// readTokenKey reads the key of instances' tokens where no secret makes it.
func (o *outside) readTokenKey(cfg *Config) (token.Key, error) {
	file := cfg.Cell.TokenKeyFile
	if file == "" {
		return keyIn(cfg.StateDir)
	}
	v, err := files.Read(config.ParseTokenKeys, nil, file)
	if err != nil {
		return token.Key{}, fmt.Errorf("cell.token_key_file: %w", err)
	}
	key, err := token.KeyOf(v.Get()...)
	files.Add(o.watch, "token_key", v, func(now [][]byte) {
		if err := key.Change(now...); err != nil {
			o.log.WithError(err).Error("the new key of tokens cannot be used")
		}
	})
	return key, err
}

// keyIn returns the key of instances' tokens that a state directory keeps.
func keyIn(dir string) (token.Key, error) {
	file := filepath.Join(dir, tokenKeyFile)
	secret, err := files.Once(file, func() ([]byte, error) { return token.NewSecret(), nil })
	if err != nil {
		return token.Key{}, fmt.Errorf("state_dir: %w", err)
	}
	key, err := token.KeyOf(secret)
	if err != nil {
		return token.Key{}, fmt.Errorf("state_dir: %s: %w", file, err)
	}
	return key, nil
}

// makeStateDir creates the state directory, and warns if other users could replace our sockets by theirs.
func makeStateDir(dir string, log logrus.FieldLogger) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 {
		log.WithFields(logrus.Fields{"state_dir": dir, "mode": mode.Perm().String()}).
			Warn("others may write to the state directory, and put sockets of theirs in the place of ours: chmod 700")
	}
	return nil
}

// hostname is this host's name, which is a relay's first one.
func hostname() ([]byte, error) {
	name, err := os.Hostname()
	return []byte(name), err
}
