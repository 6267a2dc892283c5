package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// A partFault strikes a part, and never while another strikes that.
type partFault struct {
	fault
	of   func(*stack) *part
	on   func(*stack, context.Context, *part) error
	once *sync.Mutex // held while it strikes, by it or another that must not strike beside it; nil: none
}

// tryLock takes what must be free for the fault to strike; unlock gives it back.
func (f partFault) tryLock(p *part) (unlock func(), ok bool) {
	if !p.struck.TryLock() {
		return nil, false
	}
	if f.once == nil {
		return p.struck.Unlock, true
	}
	if !f.once.TryLock() {
		p.struck.Unlock()
		return nil, false
	}
	return func() { f.once.Unlock(); p.struck.Unlock() }, true
}

// still is held by a pause: one part stands still at a time, else all that there is would, half of the time.
var still sync.Mutex

// leaderFaults are those of a run with a leader, a standby and a relay apart. Requests may be cut by what carries them only.
var leaderFaults = slices.Concat(
	faultsOf("the leader", (*stack).leads, lost, cut, unknown),
	faultsOf("the standby", (*stack).standsBy, refused, lost, cut, unknown),
	faultsOf("the relay", func(s *stack) *part { return s.relayPart }),
	faultsOf("Envoy", func(s *stack) *part { return s.envoyPart }, refused),
	[]partFault{
		{
			fault{name: "the lease cannot be renewed for 1 to 7 s", spares: []end{lost, cut, unknown}},
			func(s *stack) *part { return &s.lease }, (*stack).holdLease, nil,
		},
		{
			fault{name: "the leader is cut off in silence for 1 to 7 s", spares: []end{lost, cut, unknown}},
			func(s *stack) *part { return &s.uplink }, (*stack).cutLeaderOff, nil,
		},
		{
			fault{name: "the connections of the leader are reset", spares: []end{lost, cut, unknown}},
			func(s *stack) *part { return &s.uplink }, (*stack).resetLeader, nil,
		},
		{
			fault{name: "functions are cut off in silence for 1.5 s"},
			func(s *stack) *part { return &s.downlink }, (*stack).cutFunctionsOff, nil,
		},
		{
			fault{name: "the connections of functions are reset"},
			func(s *stack) *part { return &s.downlink }, (*stack).resetFunctions, nil,
		},
		{
			fault{name: "an environment is killed", spares: []end{unknown}},
			func(s *stack) *part { return &s.downlink }, func(s *stack, ctx context.Context, _ *part) error { return s.killEnvironment(ctx) }, nil,
		},
		{
			fault{name: "a new version is deployed", spares: []end{refused, lost, cut, unknown}},
			func(s *stack) *part { return &s.code }, (*stack).deployAnother, nil,
		},
	},
)

// span is how long what lasts does.
func span() time.Duration { return time.Second + rand.N((longestPause-1)*time.Second) }

// cutLeaderOff lets nothing through between the leader and the relay and Envoy, and tells neither.
func (s *stack) cutLeaderOff(ctx context.Context, _ *part) error {
	return s.silence(ctx, s.planes[s.holder()].Link, span())
}

func (s *stack) resetLeader(context.Context, *part) error {
	return s.local(map[string]any{"kind": "link_reset", "link": s.planes[s.holder()].Link})
}

// cutFunctionsOff does so between the relay and all functions, for less time than their connections survive.
func (s *stack) cutFunctionsOff(ctx context.Context, _ *part) error {
	return s.silence(ctx, s.link, shortSilence)
}

func (s *stack) resetFunctions(context.Context, *part) error {
	return s.local(map[string]any{"kind": "link_reset", "link": s.link})
}

func (s *stack) silence(ctx context.Context, link string, d time.Duration) error {
	err := s.local(map[string]any{"kind": "link_silence", "link": link, "for": d.String()})
	sleep(ctx, d)
	return err
}

// deployAnother deploys the other good version. How long the rollout takes is up to the faults beside it.
func (s *stack) deployAnother(context.Context, *part) error {
	s.version = otherVersion[s.version]
	return s.moveAlias(s.version)
}

// holdLease keeps every control plane from changing the record of the lease.
func (s *stack) holdLease(ctx context.Context, _ *part) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "leader.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	sleep(ctx, span())
	return nil
}

// What lasts does so for one to this many seconds.
const longestPause = 7

// faultsOf strike one part of those that a stack has.
func faultsOf(who string, of func(*stack) *part, spares ...end) []partFault {
	ends := func(signal syscall.Signal) func(*stack, context.Context, *part) error {
		return func(s *stack, ctx context.Context, p *part) error { return s.endPart(ctx, p, signal) }
	}
	pauses := func(_ *stack, ctx context.Context, p *part) error {
		return p.pause(ctx, span())
	}
	return []partFault{
		{fault{name: who + " is killed", spares: spares}, of, ends(syscall.SIGKILL), nil},
		{fault{name: who + " is told to end", spares: spares}, of, ends(syscall.SIGTERM), nil},
		{fault{name: who + " stands still for 1 to 7 s", spares: spares}, of, pauses, &still},
	}
}

// endPart returns when the part runs again. Envoy does when clients can connect.
func (s *stack) endPart(ctx context.Context, p *part, signal syscall.Signal) error {
	if err := p.end(ctx, signal); err != nil || p != s.envoyPart {
		return err
	}
	return lab.Until(ctx, "front door", nil, lab.Listens(s.front))
}

// strikeBeside lets a fault strike whenever o.Every has passed, while others last, and returns what struck when all are over
// after ctx ends. Each strikes once before any does again, unless something strikes its part already.
func (s *stack) strikeBeside(ctx context.Context, o settings, progress io.Writer) (strikes []strike) {
	dice := rand.New(rand.NewPCG(o.Seed, 1))
	var mu sync.Mutex
	var going sync.WaitGroup
	faults := chosen(o, leaderFaults)
	var waiting []int
	for sleep(ctx, o.Every); ctx.Err() == nil; sleep(ctx, o.Every) {
		if len(waiting) == 0 {
			waiting = dice.Perm(len(faults))
		}
		for n, which := range waiting {
			f := faults[which]
			p := f.of(s)
			unlock, ok := f.tryLock(p)
			if !ok {
				continue
			}
			waiting = slices.Delete(waiting, n, n+1)
			going.Go(func() {
				defer unlock()
				struck := s.strike(f.fault, func() error { return f.on(s, ctx, p) }, progress)
				mu.Lock()
				defer mu.Unlock()
				strikes = append(strikes, struck)
			})
			break
		}
	}
	going.Wait()
	slices.SortFunc(strikes, func(a, b strike) int { return a.began.Compare(b.began) })
	return strikes
}

// leads is the control plane that holds the lease, or was the last to do so.
func (s *stack) leads() *part { return s.controls[s.holder()] }

// standsBy is the other one.
func (s *stack) standsBy() *part { return s.controls[1-s.holder()] }

// holder is which control plane the record of the lease names; the first if it names none.
func (s *stack) holder() int {
	var record struct {
		Address string `json:"address"`
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "leader.json"))
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil {
		return 0
	}
	return max(0, slices.IndexFunc(s.admins, func(admin string) bool { return strings.HasPrefix(record.Address, admin+" ") }))
}

// startLeader starts two control planes, a relay and an Envoy, each to be started again whenever it ends, until ctx does.
func (s *stack) startLeader(ctx context.Context, values map[string]any) error {
	for n, admin := range s.admins {
		values["Admin"], values["Cell"] = admin, s.planes[n].Address
		name := fmt.Sprintf("controlplane-%d", n+1)
		if err := s.write(name+".yaml", controlYAML, values); err != nil {
			return err
		}
		s.controls = append(s.controls, s.program(name, "run", name))
	}
	delete(values, "Cell")
	if err := s.write("relay.yaml", controlYAML, values); err != nil {
		return err
	}
	s.relayPart = s.program("relay", "relay", "relay")
	var err error
	s.bootstrap, err = envoy.Split{
		StateDir: s.dir, AdminAddress: "127.0.0.1:0", ControlPlanes: []string{s.planes[0].Link, s.planes[1].Link},
	}.Bootstrap()
	if err != nil {
		return err
	}
	s.envoyPart = &part{start: func() (child, error) {
		if err := s.startEnvoy(); err != nil {
			return child{}, err
		}
		return child{s.envoy.Pid(), s.envoy.Exited()}, nil
	}}
	for _, p := range append(s.controls, s.relayPart, s.envoyPart) {
		if err := p.keep(ctx); err != nil {
			return err
		}
	}
	return lab.Until(ctx, "front door", nil, lab.Listens(s.front))
}

// program is a part that is our program.
func (s *stack) program(name, command, config string) *part {
	return &part{start: func() (child, error) {
		p, err := s.lab.Start(name, nil, "build/lambda-dispatch", command, s.lab.Path(config+".yaml"))
		if err != nil {
			return child{}, err
		}
		return child{p.PID(), p.Ended()}, nil
	}}
}
