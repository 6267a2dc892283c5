package controlplane

import (
	"context"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/xds"
)

// configureNewcomers gives an Envoy that starts while no control plane leads its configuration, until ctx ends: else no client
// could connect before one leads. It does so only if an instance is ready, and if this relay's file names functions.
func (c *caretaker) configureNewcomers(ctx context.Context, current func() *Config, leads func() bool) {
	for pause.For(ctx, looksEvery) {
		if leads() || !c.dispatcher.Serves() || len(current().Functions) == 0 {
			continue
		}
		alone, end := context.WithCancel(ctx)
		var looks sync.WaitGroup
		looks.Go(func() {
			defer end()
			awaitLeader(alone, leads)
		})
		if err := c.serveNewcomers(alone, current()); err != nil {
			c.log.WithError(err).Warn("an Envoy that starts now gets no configuration before a control plane leads")
			<-alone.Done()
		}
		end()
		looks.Wait()
	}
}

// serveNewcomers does so until ctx ends.
func (c *caretaker) serveNewcomers(ctx context.Context, cfg *Config) error {
	s, err := xds.New(cfg, c.log)
	if err != nil {
		return err
	}
	certificates, err := readListeners(cfg, nil)
	if err != nil {
		return err
	}
	for name, v := range certificates {
		s.SetCertificate(name, v.Get())
	}
	c.interim.Use(s)
	defer c.interim.Use(nil)
	return s.Run(ctx, asTold{c.dispatcher})
}

// asTold are the endpoints of a caretaker, which leases them as the former leader did, whatever an Envoy knows.
type asTold struct{ *dispatch.Dispatcher }

// Acked implements upstream.Source.
func (asTold) Acked(string, []string) {}

// Connected implements upstream.Source.
func (asTold) Connected(int) {}
