package controlplane

import (
	"context"
	"path/filepath"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
)

// pairDir is the folder in the state directory where a relay that has the cell's secret keeps the files of the Envoy beside it.
const pairDir = "pair"

// renewPairEvery is how often those files are made anew.
const renewPairEvery = identity.Life / 2

// issuePair makes the files of the Envoy beside the relay, if there is a secret to make them of and control planes are elsewhere.
func (s *RelayServer) issuePair(secrets identity.Secrets) error {
	return issuePair(s.config, secrets, PairIssue{
		Name: s.name, Out: filepath.Join(s.config.StateDir, pairDir), Life: identity.Life,
	})
}

// keepsPair tells whether Envoy's files are this process's to make.
func (s *RelayServer) keepsPair() bool { return s.part.secrets != nil && s.config.Cell.Split() }

// keepPair makes Envoy's files anew before they expire, and when the secret changes, until ctx ends.
func (s *RelayServer) keepPair(ctx context.Context) error {
	for wait := renewPairEvery; pause.Unless(ctx, wait, s.part.changed); {
		wait = renewPairEvery
		if err := s.issuePair(s.part.secrets()); err != nil {
			s.log.WithError(err).Error("the certificate of the Envoy beside this relay is not renewed: it is tried again")
			wait = time.Minute
		}
	}
	return nil
}
