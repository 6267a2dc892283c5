package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A fault is one thing that goes wrong. It returns when what it did is over: a part that was killed runs again.
type fault struct {
	name   string
	do     func(*stack, context.Context) error
	spares []end // ends that it must not cause; empty: it may cause any that some fault may
}

// faults are the names of those of this run.
func (s settings) faults() (names []string) {
	if s.Leader {
		for _, f := range chosen(s, leaderFaults) {
			names = append(names, f.name)
		}
		return names
	}
	for _, f := range chosen(s, faults) {
		names = append(names, f.name)
	}
	return names
}

// chosen are those of the faults that the settings let strike.
func chosen[F interface{ String() string }](s settings, all []F) []F {
	if s.Only == nil {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(f F) bool { return !s.Only.MatchString(f.String()) })
}

func (f fault) String() string { return f.name }

// faults strike in random order, each once before any strikes again.
var faults = []fault{
	{name: "an environment is killed", do: (*stack).killEnvironment},
	{name: "the network of an environment is reset", do: (*stack).resetNetwork},
	{name: "the network is silent for 1.5 s", do: (*stack).silenceNetwork},
	{name: "Lambda throttles for 2 s", do: (*stack).throttle},
	{name: "500 silent strangers at the relay", do: (*stack).flood},
	{name: "all instances are replaced", do: (*stack).drain},
	{name: "a new version is deployed", do: (*stack).deploy},
	{name: "a version is deployed that does not come up", do: (*stack).deployBroken},
	{name: "the control plane stands still for 1 s", do: (*stack).pauseControl},
	{name: "the control plane is killed", do: (*stack).killControl},
	{name: "the control plane is restarted", do: (*stack).restartControl},
	{name: "Envoy is restarted", do: (*stack).restartEnvoy},
}

// A strike is a fault that struck.
type strike struct {
	name       string
	spares     []end
	began, end time.Time
}

// strike lets a fault strike, and returns when it is over. A fault that could not strike is printed and not counted.
func (s *stack) strike(f fault, do func() error, progress io.Writer) strike {
	began := time.Now()
	fmt.Fprintf(progress, "%s  %s\n", began.Format(clock), f.name)
	if err := do(); err != nil {
		fmt.Fprintf(progress, "%s  %s did not strike: %v\n", time.Now().Format(clock), f.name, err)
	}
	return strike{f.name, f.spares, began, time.Now()}
}

// strikeAgain strikes until ctx ends, and returns what struck.
func (s *stack) strikeAgain(ctx context.Context, o settings, progress io.Writer) (strikes []strike) {
	dice := rand.New(rand.NewPCG(o.Seed, 1))
	faults := chosen(o, faults)
	for {
		for _, n := range dice.Perm(len(faults)) {
			select {
			case <-time.After(o.Every):
			case <-ctx.Done():
				return strikes
			}
			strikes = append(strikes, s.strike(faults[n], func() error { return faults[n].do(s, ctx) }, progress))
		}
	}
}

// local adds a fault of lambdalocal's.
func (s *stack) local(f map[string]any) error {
	return s.call(http.MethodPost, "http://"+s.invoke+"/lambdalocal/faults", f)
}

// killEnvironment kills the processes of one that serves.
func (s *stack) killEnvironment(context.Context) error {
	e, err := s.busy()
	if err != nil {
		return err
	}
	for _, pid := range e.PIDs {
		err = errors.Join(err, syscall.Kill(-pid, syscall.SIGKILL))
	}
	return err
}

func (s *stack) resetNetwork(context.Context) error {
	e, err := s.busy()
	if err != nil {
		return err
	}
	return s.local(map[string]any{"kind": "link_reset", "environment": e.ID})
}

// busy is one of the environments that serve.
func (s *stack) busy() (lambdalocal.Environment, error) {
	var all []lambdalocal.Environment
	if err := lab.GetJSON("http://"+s.invoke+"/lambdalocal/environments", &all); err != nil {
		return lambdalocal.Environment{}, err
	}
	all = slices.DeleteFunc(all, func(e lambdalocal.Environment) bool { return e.State != lambdalocal.StateBusy })
	if len(all) == 0 {
		return lambdalocal.Environment{}, errors.New("no environment serves")
	}
	return all[rand.IntN(len(all))], nil
}

// shortSilence is less time than tunnels survive.
const shortSilence = 1500 * time.Millisecond

func (s *stack) silenceNetwork(ctx context.Context) error {
	return s.silence(ctx, s.link, shortSilence)
}

func (s *stack) throttle(ctx context.Context) error {
	err := s.local(map[string]any{"kind": "throttle", "function": function, "for": "2s"})
	sleep(ctx, 2*time.Second)
	return err
}

// flood opens connections that say nothing, and closes them after two seconds.
func (s *stack) flood(ctx context.Context) error {
	for range 500 {
		conn, err := net.DialTimeout("tcp", s.relay, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
	}
	sleep(ctx, 2*time.Second)
	return nil
}

func (s *stack) drain(context.Context) error {
	return s.call(http.MethodPost, "http://"+s.admin+"/api/v1/functions/"+function+"/drain", nil)
}

// otherVersion is the other one of the two that are good.
var otherVersion = map[string]string{"1": "2", "2": "1"}

// deploy moves the alias to the other good version, and returns when only that serves.
func (s *stack) deploy(ctx context.Context) error {
	next := otherVersion[s.version]
	if err := s.moveAlias(next); err != nil {
		return err
	}
	s.version = next
	return s.rolledOut(ctx, func(f status) bool { return f.Ready > 0 && f.Versions[next] == f.Ready })
}

// deployBroken moves the alias to a version whose instances end at once, and back when the rollout was given up.
func (s *stack) deployBroken(ctx context.Context) error {
	if err := s.moveAlias("3"); err != nil {
		return err
	}
	err := s.rolledOut(ctx, func(f status) bool { return f.Rollout.Phase == "aborted" })
	return errors.Join(err, s.moveAlias(s.version))
}

func (s *stack) moveAlias(version string) error {
	return s.call(http.MethodPut, "http://"+s.invoke+"/2015-03-31/functions/"+function+"/aliases/live", map[string]any{"FunctionVersion": version})
}

// status is what a rollout is judged by.
type status struct {
	Ready    int            `json:"ready"`
	Versions map[string]int `json:"versions"`
	Rollout  struct {
		Phase string `json:"phase"`
	} `json:"rollout"`
}

// rolledOut waits for half a minute at most.
func (s *stack) rolledOut(ctx context.Context, done func(status) bool) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; sleep(ctx, 100*time.Millisecond) {
		var f status
		if err := lab.GetJSON("http://"+s.admin+"/api/v1/functions/"+function, &f); err == nil && done(f) {
			return nil
		}
	}
	return errors.New("the rollout did not end in time")
}

func (s *stack) pauseControl(ctx context.Context) error {
	s.control.Pause(ctx, time.Second)
	return nil
}

func (s *stack) killControl(ctx context.Context) error {
	s.control.Kill()
	return s.controlAgain(ctx)
}

func (s *stack) restartControl(ctx context.Context) error {
	s.control.StopWithin(time.Minute) // its grace and its drains take up to 46 s, operating.md
	return s.controlAgain(ctx)
}

func (s *stack) controlAgain(ctx context.Context) error {
	if err := s.startControl(); err != nil {
		return err
	}
	return s.ready(ctx)
}

func (s *stack) restartEnvoy(ctx context.Context) error {
	s.envoy.Stop(5 * time.Second)
	if err := s.startEnvoy(); err != nil {
		return err
	}
	return s.ready(ctx)
}

func sleep(ctx context.Context, d time.Duration) { _ = lab.Rest(ctx, d) }
