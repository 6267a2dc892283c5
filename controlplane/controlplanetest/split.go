package controlplanetest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo/dynamotest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// places is how many control planes there may be at once.
const places = 2

// findPlaces finds addresses for control planes: the same ones for them and for who looks for them, or else links between.
func (s *Stack) findPlaces(linked bool) {
	for range places {
		p := lambdalocal.Link{Listen: freeAddress(s.t)}
		p.To = p.Listen
		if linked {
			p.To = freeAddress(s.t)
		}
		s.places = append(s.places, p)
	}
}

// place is that of the control plane which was started last.
func (s *Stack) place() lambdalocal.Link { return s.places[(s.started-1)%places] }

// split configures relay and Envoy as on a host of their own: control planes are elsewhere, and no secret is here.
func (s *Stack) split(cfg *config.Config) {
	s.lease = dynamotest.Start(s.t)
	secret := filepath.Join(s.dir, "secret")
	require.NoError(s.t, controlplane.NewSecret(secret))
	cfg.Relay.Apart, cfg.Relay.Admin = true, "127.0.0.1:0"
	cfg.Cell.SecretFile = secret
	for _, p := range s.places {
		cfg.Cell.ControlPlanes = append(cfg.Cell.ControlPlanes, p.Listen)
	}
	cfg.Lease.Store, cfg.Lease.Table, cfg.Lease.Endpoint = config.LeaseDynamoDB, dynamotest.Table, s.lease.URL
	s.pair = filepath.Join(s.dir, "pair")
	s.IssuePair(cfg)
	cfg.Cell.SecretFile, cfg.Cell.TokenKeyFile = "", filepath.Join(s.pair, "token.key")
	cfg.Cell.CertificateFile, cfg.Cell.KeyFile, cfg.Cell.CAFile = filepath.Join(s.pair, "relay.pem"), filepath.Join(s.pair, "relay.pem"), filepath.Join(s.pair, "ca.pem")
}

// IssuePair makes the certificates of Envoy and relay, or makes them again.
func (s *Stack) IssuePair(cfg *config.Config) {
	with := *cfg
	with.Cell.SecretFile = filepath.Join(s.dir, "secret")
	require.NoError(s.t, controlplane.IssuePair(&with, controlplane.PairIssue{Name: "pair-1", Out: s.pair, Life: time.Hour}))
}

// bootstrap is Envoy's, if it is not the usual one.
func (s *Stack) bootstrap() []byte {
	if s.pair == "" {
		return nil
	}
	text, err := envoy.Split{
		StateDir: s.Config.StateDir, AdminAddress: "127.0.0.1:0", ControlPlanes: s.Config.Cell.ControlPlanes, SDS: s.pair,
	}.Bootstrap()
	require.NoError(s.t, err)
	return text
}

// ReplacePair ends Envoy and the relay, and starts others in their place as on another host: with another address, and without anything
// that the ones before have kept.
func (s *Stack) ReplacePair() {
	s.t.Helper()
	s.StopEnvoy()
	s.stopRelay()
	require.NoError(s.t, os.RemoveAll(s.Config.StateDir))
	s.Config.Relay.Address = "127.0.0.1:0"
	s.startRelay()
	s.startEnvoy()
}

// splitFile is what a control plane's file says of the cell. Control planes take places in turn.
func (s *Stack) splitFile() string {
	if s.pair == "" {
		return ""
	}
	c := s.Config
	return fmt.Sprintf("cell: {address: %q, secret_file: %q}\nlease: {store: dynamodb, table: %s, endpoint: %q}\n",
		s.place().To, filepath.Join(s.dir, "secret"), c.Lease.Table, c.Lease.Endpoint)
}

// LeaseStore is the emulated DynamoDB.
func (s *Stack) LeaseStore() *dynamotest.Emulator { return s.lease }

// Secret is what the cell's secret file holds.
func (s *Stack) Secret() []byte {
	text, err := os.ReadFile(filepath.Join(s.dir, "secret"))
	require.NoError(s.t, err)
	return text
}

// Certified returns a function that says whether the leader, the relay and Envoy have other certificates than now.
func (s *Stack) Certified() (changed func() error) {
	leader, relay, envoy := s.expiry(s.Admin), s.expiry(s.relayAdmin), s.secretsOfEnvoy()
	return func() error {
		switch {
		case s.expiry(s.Admin) == leader:
			return errors.New("the leader has not")
		case s.expiry(s.relayAdmin) == relay:
			return errors.New("the relay has not")
		case s.secretsOfEnvoy() < envoy+2: // its own and the CA's
			return errors.New("an Envoy has not")
		}
		return nil
	}
}

var expiryLine = regexp.MustCompile(`lambda_dispatch_certificate_expiry_timestamp_seconds\{certificate="cell"\} (\S+)`)

// expiry is when the certificate of a process expires.
func (s *Stack) expiry(admin string) string {
	response, err := http.Get("http://" + admin + "/metrics")
	require.NoError(s.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	found := expiryLine.FindSubmatch(text)
	require.NotNil(s.t, found, "%s tells of no certificate", admin)
	return string(found[1])
}

// secretsOfEnvoy is how often Envoy has taken other certificates for control planes.
func (s *Stack) secretsOfEnvoy() uint64 {
	const stat = "cluster.control.client_ssl_socket_factory.ssl_context_update_by_sds"
	stats, err := s.Envoy.Stats(s.t.Context(), stat)
	require.NoError(s.t, err)
	return stats[stat]
}

// WriteSecret replaces the cell's secret file.
func (s *Stack) WriteSecret(text []byte) {
	name := filepath.Join(s.dir, "secret")
	require.NoError(s.t, os.WriteFile(name+".new", text, 0o600))
	require.NoError(s.t, os.Rename(name+".new", name))
}
