package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
)

// startSplit starts a stack whose control planes are reached by TCP and certificates.
func startSplit(t *testing.T, most int) *controlplanetest.Stack {
	t.Helper()
	f := controlplanetest.App(t, "app", controlplanetest.Library)
	f.Scaling.Min, f.Scaling.Max = 2, most
	s := controlplanetest.Start(t, controlplanetest.Options{Functions: []controlplanetest.Function{f}, Split: true})
	s.Eventually("both are ready", func() error {
		if ready := s.Function("app").Ready; ready < 2 {
			return fmt.Errorf("%d are", ready)
		}
		return nil
	})
	return s
}

// The standby leads when the lease of the leader has run out, which is kept in DynamoDB. Until then the caretaker serves.
func TestAStandbyOnAnotherHostLeadsAfterACrash(t *testing.T) {
	s := startSplit(t, 4)
	standby := s.StartControlPlane()
	load := startLoad(t, s, 8, endless, "/app/sleep?ms=20")
	load.more(s, 200)
	killed := time.Now()
	s.Leader.Kill()
	standby.Leads()
	t.Logf("the standby led %v after the leader was killed", time.Since(killed).Round(time.Millisecond))
	load.more(s, 200)
	requireServed(t, load.stop())
}
