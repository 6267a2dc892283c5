package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/dispatch"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
)

// ErrLost is how a control plane ends that has lost its leadership, so that another one may lead. Its supervisor starts it again,
// as a standby.
var ErrLost = errors.New("this control plane does not lead any more")

// unlessStandby refuses calls that only the leader can answer, so that the caller asks another control plane.
func (s *Server) unlessStandby(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	standby := s.relay == nil && !s.began.Load()
	if standby && !strings.HasPrefix(info.FullMethod, "/"+healthv1.Health_ServiceDesc.ServiceName+"/") {
		return status.Error(codes.Unavailable, uplink.ErrStandby.Error())
	}
	return handle(service, stream)
}

// runApart waits until it leads, leads one term, and ends with it. Relays are processes of their own: instances continue without
// it, and the next leader takes them over.
func (s *Server) runApart(ctx context.Context) error {
	parts := newGroup()
	stopAdmin := parts.run("admin", s.admin.Run)
	stopFiles := parts.run("files", s.outside.watch.Run)
	stopTracing := parts.run("tracing", s.tracer.Run)
	stopMetrics := parts.run("metrics for CloudWatch", s.metrics.Run)
	s.endReloads = parts.run("configuration", s.reloads.Run)
	campaign, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-parts.failed:
			end()
		case <-campaign.Done():
		}
	}()
	stopControl := func() {}
	if s.control != nil { // a standby has an address, too, where it says that it is one
		s.health.Shutdown()
		stopControl = parts.run("cell address", s.serveControl)
		s.endControl = stopControl
	}
	var err error
	if ctx.Err() == nil {
		s.announce()
		s.elector.Run(campaign, func(term context.Context, number uint64, known []string) {
			err = s.lead(ctx, term, number, known)
			end()
		})
	}
	s.stopping.Store(true)
	stopControl()
	s.grpc.Stop()
	stopMetrics()
	stopTracing()
	s.endReloads()
	stopFiles()
	stopAdmin()
	return errors.Join(err, parts.wait())
}

// lead leads one term: until ctx ends, which is an orderly end, or the term is over.
//
// The order at the beginning: relays attach, and their instances are taken over; then Envoys get their configuration; then come
// starts and requests. The end hands over: no instance is told to end, and Envoy asks the next leader.
func (s *Server) lead(ctx, term context.Context, number uint64, known []string) error {
	parts, elected := newGroup(), time.Now()
	s.health.Shutdown() // until it knows what there is
	s.relays.lead(number)
	s.began.Store(true)
	defer s.began.Store(false)
	if s.control == nil {
		if err := s.openControl(); err != nil {
			return err
		}
		s.endControl = parts.run("control socket", s.serveControl)
	}
	s.relays.await(term, known)
	stopXDS := func() {}
	if term.Err() == nil {
		s.took.Store(int64(time.Since(elected)))
		stopXDS = s.decide(ctx, term, number, parts)
	}
	s.relays.leader.Resign() // before their streams end, as if the relays had
	stopXDS()                // before their streams end, as if the Envoys had
	s.endControl()
	s.endReloads()
	s.dispatcher.Abandon()
	err := parts.wait()
	if ctx.Err() == nil && err == nil {
		err = fmt.Errorf("term %d: %w", number, ErrLost)
	}
	return err
}

// decide decides about starts and requests until the term is over, ctx ends or a part fails. Unless another control plane may lead
// by then, it waits until the relays have heard its last commands. The returned function ends the xDS streams.
func (s *Server) decide(ctx, term context.Context, number uint64, parts *group) (stopXDS func()) {
	s.relays.sayAttached()
	s.dispatcher.Start()
	s.health.Resume()
	stopXDS = parts.run("xds", func(ctx context.Context) error { return s.xds.Run(ctx, s.dispatcher) })
	stopReports := parts.run("lease", s.reportRelays)
	stopNotes := parts.run("notes", s.writeNotes)
	stopBeats := parts.run("beats", s.followBeats)
	s.leads.Store(number)

	select {
	case <-term.Done():
	case <-parts.failed:
	}
	s.leads.Store(0)
	s.stopping.Store(true)
	stopReports()
	stopNotes()
	stopBeats()
	if ctx.Err() != nil || term.Err() == nil {
		s.dispatcher.WriteNotes()
		s.relays.flush()
	}
	return stopXDS
}

// reportEvery is how often the lease hears of the relays.
const reportEvery = 200 * time.Millisecond

// reportRelays tells the lease which relays are attached, and what they have seen, until ctx ends.
func (s *Server) reportRelays(ctx context.Context) error {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		s.elector.Relays(s.relays.attached())
		select {
		case <-ticker.C:
		case term := <-s.relays.over:
			s.elector.Superseded(term)
		case <-ctx.Done():
			return nil
		}
	}
}

// notesEvery is how often notes for the next leader are written.
const notesEvery = time.Second

// writeNotes gives the relays the notes for the next leader, until ctx ends.
func (s *Server) writeNotes(ctx context.Context) error {
	for pause.For(ctx, notesEvery) {
		s.dispatcher.WriteNotes()
	}
	return nil
}

// followBeats takes over anew whenever this process has stood still, until ctx ends: what it knew of relays is old by then, and
// others may have leased meanwhile. Until all have told what there is, and at most for as long as at the beginning of a term,
// nothing is decided.
func (s *Server) followBeats(ctx context.Context) error {
	begun, done := 0, 0
	var since time.Time
	var known []string
	for {
		switch stalls := s.dispatcher.Beat(); {
		case stalls > begun:
			s.log.Warn("this control plane has stood still for a moment: it takes over anew")
			begun, since, known = stalls, time.Now(), s.relays.renew()
		case begun > done && (s.relays.told(known) || time.Since(since) > knownRelays):
			s.dispatcher.Resume(begun)
			done = begun
		}
		if !pause.For(ctx, dispatch.BeatEvery) {
			return nil
		}
	}
}

// keepPath keeps a control socket from removing its path when it is closed: the path may be the successor's by then.
func keepPath(l net.Listener) {
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
}
