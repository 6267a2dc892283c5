package e2e_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/lease/dynamo/dynamotest"
)

// startSplit starts a stack whose control planes are reached by TCP and certificates, with a function whose requests mostly wait.
func startSplit(t *testing.T) *controlplanetest.Stack {
	t.Helper()
	return startCell(t, controlplanetest.Options{Split: true})
}

func startCell(t *testing.T, o controlplanetest.Options) *controlplanetest.Stack {
	t.Helper()
	function := func(name string, slots, least, most int) controlplanetest.Function {
		f := controlplanetest.App(t, name, controlplanetest.Library)
		f.Scaling.Concurrency, f.Scaling.Min, f.Scaling.Max = slots, least, most
		return f
	}
	o.Functions = []controlplanetest.Function{function("app", 10, 2, 4), function("narrow", 1, 1, 1)}
	s := controlplanetest.Start(t, o)
	s.Eventually("all are ready", func() error {
		if ready := s.Function("app").Ready + s.Function("narrow").Ready; ready < 3 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	})
	return s
}

// served expects short requests and such that wait to be served, whatever happens meanwhile.
func served(t *testing.T, s *controlplanetest.Stack, meanwhile func(short *load)) {
	t.Helper()
	short := startLoad(t, s, 8, endless, "/app/sleep?ms=20")
	held := startLoad(t, s, 20, endless, "/narrow/sleep?ms=20") // one slot: nineteen wait at any time
	short.more(s, 100)
	meanwhile(short)
	short.more(s, 100)
	held.more(s, 20)
	for name, results := range map[string][]result{"short": short.stop(), "held": held.stop()} {
		requireServed(t, results)
		t.Logf("%s: %d requests, the longest took %v", name, len(results), longest(results, time.Time{}, time.Now()))
	}
}

// A deployment: one control plane follows another one on another host.
func TestAControlPlaneHandsOverToOneOnAnotherHost(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	served(t, s, func(*load) {
		standby := s.StartControlPlane()
		s.Leader.Stop()
		standby.Leads()
	})
}

// The standby leads when the lease has run out, which is kept in DynamoDB. Until then the caretaker serves.
func TestLongAStandbyOnAnotherHostLeadsAfterACrash(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	for _, strike := range []func(*controlplanetest.ControlPlane){
		(*controlplanetest.ControlPlane).Kill, func(c *controlplanetest.ControlPlane) { c.Signal(syscall.SIGSTOP) },
	} {
		served(t, s, func(*load) {
			struck, standby := s.Leader, s.StartControlPlane()
			began := time.Now()
			strike(struck)
			standby.Leads()
			t.Logf("the standby led after %v", time.Since(began).Round(time.Millisecond))
			s.Leader = standby
		})
	}
}

// The leader is cut off from Envoy and relay, and reaches its lease. The standby is reached by all. Meanwhile the caretaker serves.
func TestLongALeaderThatIsCutOffGivesWay(t *testing.T) {
	t.Parallel()
	s := startCell(t, controlplanetest.Options{Split: true, Linked: true})
	served(t, s, func(*load) {
		cut, standby := s.Leader, s.StartControlPlane()
		cut.CutOff()
		standby.Leads()
		cut.Ends()
		s.Leader = standby
	})
}

// Stores only elect: a leader that hears of all its relays goes on without one, and then as before.
func TestLongALeaderGoesOnWithoutItsLeaseStore(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	served(t, s, func(short *load) {
		s.LeaseStore().Signal(syscall.SIGSTOP)
		for began := time.Now(); time.Since(began) < 8*time.Second; { // longer than a lease
			short.more(s, 50)
		}
		s.LeaseStore().Signal(syscall.SIGCONT)
		s.StartControlPlane() // a standby, which finds out that somebody leads
		short.more(s, 500)
	})
	s.Leader.Leads()
}

// The lease's table is deleted by mistake and made anew, or control planes lose their permission for a while. A record that begins again must
// not begin with an old term, because relays obey the highest.
func TestLongTheLeasesTableIsLost(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	store, standby := s.LeaseStore(), s.StartControlPlane()
	served(t, s, func(short *load) {
		meanwhile := func(d time.Duration, supervise bool) {
			for began := time.Now(); time.Since(began) < d; {
				short.more(s, 20)
				if supervise && s.Leader.HasEnded() { // as one does whose term is over
					s.Leader = s.StartControlPlane()
				}
			}
		}
		store.Refuse("AccessDeniedException", math.MaxUint64) // all
		meanwhile(8*time.Second, false)                       // longer than a lease
		store.Obey()
		meanwhile(lease.Duration, true)
		store.DeleteTable(t, dynamotest.Table)
		meanwhile(8*time.Second, false)
		store.CreateTable(t, dynamotest.Table, "name", "S")
		meanwhile(2*lease.Duration, true)
	})
	if standby.Leading() {
		require.False(t, s.Leader.Leading())
		s.Leader = standby
	}
	s.Leader.Leads()
	replaceAll(s, "app") // through relays, which obey its term
}

// The leader dies while DynamoDB throttles most calls: the standby leads as soon as its writes come through.
func TestLongALeaderDiesWhileItsLeaseStoreThrottles(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	standby := s.StartControlPlane()
	served(t, s, func(short *load) {
		s.LeaseStore().Refuse("ThrottlingException", 4)
		short.more(s, 500)
		s.Leader.Kill()
		standby.Leads()
		s.Leader = standby
		short.more(s, 500)
	})
}

// The only pair is replaced by one on another host: by a deployment, or after the loss of a zone. What ran for the one before ends, whoever
// started it, and new requests are served.
func TestLongAPairIsReplacedByOneOnAnotherHost(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	standby := s.StartControlPlane()
	s.Leader.Stop()
	standby.Leads() // and does not hear from Lambda of the ends of what it has taken over
	before := s.Instances("app")
	s.ReplacePair()
	requireServed(t, startLoad(t, s, 8, 80, "/app/sleep?ms=20").wait())
	s.Eventually("those before have gone", func() error {
		for _, i := range s.Instances("app") {
			for _, was := range before {
				if i.ID == was.ID {
					return fmt.Errorf("%s is %s", i.ID, i.State)
				}
			}
		}
		return nil
	})
}

// replaceAll waits until other instances have taken the place of those that run.
func replaceAll(s *controlplanetest.Stack, functions ...string) {
	before := map[string]bool{}
	for _, name := range functions {
		for _, i := range s.Instances(name) {
			before[i.ID] = true
		}
		s.AdminPost("/api/v1/functions/" + name + "/drain?now")
	}
	s.Eventually("all are replaced", func() error {
		for _, name := range functions {
			for _, i := range s.Instances(name) {
				if before[i.ID] {
					return fmt.Errorf("%s of %s is there: %s", i.ID, name, i.State)
				}
			}
		}
		return nil
	})
}

// Scenario 46: each step is taken while the processes run, and no request notices.
func TestLongTheSecretOfACellIsReplaced(t *testing.T) {
	t.Parallel()
	s := startSplit(t)
	first, second := s.Secret(), identity.NewSecret()
	served(t, s, func(short *load) {
		for _, step := range [][]byte{slices.Concat(first, second), slices.Concat(second, first), second} {
			changed := s.Certified()
			s.WriteSecret(step)
			s.IssuePair(s.Config)
			s.Eventually("all have other certificates", changed)
			short.more(s, 100)
			if bytes.HasPrefix(step, second) {
				replaceAll(s, "app", "narrow") // instances keep the token that they were started with
			}
		}
		// Connections that begin now begin with the new secret alone.
		standby := s.StartControlPlane()
		s.Leader.Stop()
		standby.Leads()
	})
}
