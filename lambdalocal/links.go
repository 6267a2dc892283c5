package lambdalocal

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/faults"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/link"
)

// A Link stands for the network between environments and one address outside. Connections to Listen are forwarded to To, as far
// as no fault is in force for the link.
type Link struct {
	Listen string `yaml:"listen"` // host:port
	To     string `yaml:"to"`     // host:port
}

func (c Config) validateLinks(m *mistakes) {
	listens := map[string]bool{}
	for i, l := range c.Links {
		at := fmt.Sprintf("links[%d]", i)
		for _, one := range [][2]string{{".listen", l.Listen}, {".to", l.To}} {
			_, _, err := net.SplitHostPort(one[1])
			m.check(err == nil, at+one[0], "must be host:port, got %q", one[1])
		}
		m.check(!listens[l.Listen], at+".listen", "%q is taken", l.Listen)
		listens[l.Listen] = true
	}
}

func (c Config) listens() []string {
	var all []string
	for _, l := range c.Links {
		all = append(all, l.Listen)
	}
	return all
}

// openLinks opens all ports or none.
func (s *Server) openLinks(cfg Config) error {
	s.listens = cfg.listens()
	for _, l := range cfg.Links {
		opened, err := link.New(link.Config{Listen: l.Listen, To: l.To, Environments: s.linkEnvironments, Log: s.log})
		if err != nil {
			s.runLinks()()
			return err
		}
		s.links = append(s.links, opened)
	}
	return nil
}

// runLinks runs all links until cut is called. cut returns when they have ended.
func (s *Server) runLinks() (cut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, l := range s.links {
		running.Go(func() { l.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// LinkAddrs are the host:port of the links for environments to dial, in the configuration's order.
func (s *Server) LinkAddrs() []string {
	var all []string
	for _, l := range s.links {
		all = append(all, l.Addr())
	}
	return all
}

func (s *Server) linkEnvironments() []link.Environment {
	var all []link.Environment
	for _, e := range s.Environments() {
		all = append(all, link.Environment{ID: e.ID, Function: e.Function, PIDs: e.PIDs})
	}
	return all
}

// applyToLinks brings the links' rules in line with the faults in force.
func (s *Server) applyToLinks() {
	s.applying.Lock()
	defer s.applying.Unlock()
	inForce := s.faults.Links()
	for i, l := range s.links {
		var rules []link.Rule
		for _, f := range inForce {
			if f.ConcernsLink(s.listens[i]) {
				rules = append(rules, linkRule(f))
			}
		}
		l.Apply(rules)
	}
}

func linkRule(f Fault) link.Rule {
	return link.Rule{
		Selector: selector(f), Latency: f.Delay,
		Silent: f.Kind == faults.LinkSilence, Refuse: f.Kind == faults.LinkRefuse,
	}
}

func selector(f Fault) link.Selector {
	s := link.Selector{Function: f.Function, Environment: f.Environment}
	if s.Function == faults.Everything {
		s.Function = ""
	}
	return s
}

// resetLinks carries out a fault of kind link_reset.
func (s *Server) resetLinks(f Fault) {
	for i, l := range s.links {
		if f.ConcernsLink(s.listens[i]) {
			count := l.Reset(selector(f))
			s.log.WithField("connections", count).Info("link: connections reset")
		}
	}
}
