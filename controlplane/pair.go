package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// NewSecret writes a new secret of a cell to a file, which must not exist.
func NewSecret(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(identity.NewSecret())
	return errors.Join(err, f.Close())
}

// A PairIssue says for whom certificates are to be made, and where to.
type PairIssue struct {
	Name string        // of the pair, by which control planes know its relay
	Out  string        // folder to write to; created if it does not exist
	At   string        // where the folder will be on the pair's host; empty: where it is
	Life time.Duration // of the certificates
}

// What IssuePair writes, beside Envoy's files of package envoy.
const (
	pairRelayFile     = "relay.pem" // certificate and key
	pairTokenFile     = "token.key"
	pairBootstrapFile = "bootstrap.yaml"
)

// IssuePair writes the files that the host of an Envoy and its relay needs, so that it need not hold the cell's secret: for each of
// the two a certificate with its key, the CA of control planes, the key of instances' tokens, and Envoy's bootstrap with the files
// that it names. Existing files are replaced, each atomically, and the relay and Envoy notice.
func IssuePair(cfg *Config, issue PairIssue) error {
	if cfg.Cell.SecretFile == "" {
		return errors.New("cell.secret_file: is not set, and makes the certificates; those of another CA are made with its own tools")
	}
	if len(cfg.Cell.ControlPlanes) == 0 {
		return errors.New("cell.control_planes: is not set, and says where Envoy looks for control planes")
	}
	secrets, err := files.Read(config.ParseSecrets, nil, cfg.Cell.SecretFile)
	if err != nil {
		return fmt.Errorf("cell.secret_file: %w", err)
	}
	return issuePair(cfg, secrets.Get(), issue)
}

func issuePair(cfg *Config, secrets identity.Secrets, issue PairIssue) error {
	all, err := pairFiles(cfg, secrets, issue)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(issue.Out, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := files.Replace(filepath.Join(issue.Out, name), all[name]); err != nil {
			return err
		}
	}
	return nil
}

// pairFiles are the contents by name.
func pairFiles(cfg *Config, secrets identity.Secrets, issue PairIssue) (map[string][]byte, error) {
	authorities, err := identity.Authorities(secrets)
	if err != nil {
		return nil, err
	}
	keys, err := secrets.TokenKeys()
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{envoy.CAFile: identity.CA(authorities), pairTokenFile: identity.FormatKeys(keys)}
	for name, role := range map[string]identity.Role{pairRelayFile: identity.Relay, envoy.IdentityFile: identity.Envoy} {
		pair, err := authorities[0].Issue(identity.ID{Domain: cfg.Cell.TrustDomain, Role: role, Name: issue.Name}, time.Now(), issue.Life)
		if err != nil {
			return nil, err
		}
		all[name] = bytes.Join([][]byte{pair.Chain, pair.Key}, nil)
	}
	at := issue.At
	if at == "" {
		if at, err = filepath.Abs(issue.Out); err != nil {
			return nil, err
		}
	}
	if !filepath.IsAbs(at) {
		return nil, fmt.Errorf("where the folder will be must be an absolute path, got %q", at)
	}
	maps.Copy(all, envoy.SecretFiles(at, identity.Prefix(cfg.Cell.TrustDomain, identity.Control)))
	all[pairBootstrapFile], err = envoy.Split{
		Node: issue.Name, StateDir: cfg.StateDir, ControlPlanes: cfg.Cell.ControlPlanes, SDS: at,
	}.Bootstrap()
	return all, err
}
