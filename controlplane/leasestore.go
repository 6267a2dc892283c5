package controlplane

import (
	"cmp"
	"context"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/file"
)

// newElector finds the store of the lease. What is wrong with it for good is an error; one that cannot be reached may be later.
func (s *Server) newElector(ctx context.Context) (*lease.Elector, error) {
	me := newBoot()
	store, err := leaseStore(ctx, s.config, me, s.log)
	if err != nil {
		return nil, err
	}
	e := lease.NewElector(me, s.whereabouts(), store, s.log)
	if s.config.Cell.Address != "" {
		e.Remote()
	}
	return e, nil
}

// whereabouts tells people where the admin address of this control plane is. On another host it means another process.
func (s *Server) whereabouts() string {
	if host, err := hostname(); err == nil && s.config.Cell.Address != "" {
		return fmt.Sprintf("%s on %s", s.AdminAddr(), host)
	}
	return s.AdminAddr()
}

func leaseStore(ctx context.Context, cfg *Config, me string, log logrus.FieldLogger) (lease.Store, error) {
	if !inDynamoDB(cfg) {
		return file.New(cfg.StateDir, me), nil
	}
	store, err := openTable(ctx, cfg)
	if err != nil && !dynamo.Definite(err) {
		log.WithError(err).Warn("the lease's table cannot be asked: it is tried again")
		err = nil
	}
	return store, err
}

func inDynamoDB(cfg *Config) bool { return cfg.Relay.Apart && cfg.Lease.Store == config.LeaseDynamoDB }

// openTable returns the lease's table and what it said when it was asked once. It is nil where it can never be asked.
func openTable(ctx context.Context, cfg *Config) (*dynamo.Store, error) {
	l := cfg.Lease
	store, err := dynamo.Open(ctx, dynamo.Options{
		Table: l.Table, Name: l.Item, Region: cmp.Or(l.Region, cfg.AWS.Region), Endpoint: l.Endpoint,
	})
	if err == nil {
		err = store.Check(ctx)
	}
	if err != nil {
		return store, fmt.Errorf("lease.store: dynamodb: %w", err)
	}
	return store, nil
}

// CheckLease asks the lease's table, if there is one, whether control planes can use it, and returns the answer as a sentence. Only
// what a second try cannot mend is an error.
func CheckLease(ctx context.Context, cfg *Config) (said string, err error) {
	if !inDynamoDB(cfg) {
		return "", nil
	}
	_, err = openTable(ctx, cfg)
	switch {
	case err == nil:
		return "DynamoDB has the lease's table, and answers", nil
	case dynamo.Definite(err):
		return "", err
	default:
		return "not checked with DynamoDB: " + err.Error(), nil
	}
}
