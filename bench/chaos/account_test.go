package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

func TestARequestEndsAsItsClientAndTheAppSay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		got   request
		began int
		end   end
	}{
		"answered":                         {request{answered: true}, 1, answered},
		"refused before the app":           {request{cause: "queue_timeout"}, 0, refused},
		"a cause, and the app had begun":   {request{cause: "no_answer"}, 1, cut},
		"no answer, and the app had begun": {request{failure: "no answer"}, 1, cut},
		"lost on its way":                  {request{cause: causeLost}, 0, lost},
		"lost while the app had it":        {request{cause: causeLost}, 1, cut},
		"no answer, and the app had not":   {request{failure: "no answer"}, 0, unknown},
		"an error without a cause":         {request{failure: "503 without a cause"}, 0, unknown},
		"answered, and run twice":          {request{answered: true}, 2, twice},
		"refused, and run twice":           {request{cause: "overload"}, 2, twice},
		"somebody else's answer":           {request{failure: "wrong answer"}, 1, wrong},
		"answered by nobody":               {request{answered: true}, 0, wrong},
	} {
		require.Equal(t, c.end, endOf(c.got, c.began), name)
	}
}

func TestTheLatestFaultThatWasNearIsBlamed(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	strikes := []strike{{"first", nil, at(10), at(11)}, {"second", []end{refused}, at(20), at(22)}}
	for name, c := range map[string]struct {
		sent, over int
		what       end
		blamed     string
	}{
		"over before any":                 {1, 9, cut, ""},
		"in flight":                       {1, 10, cut, "first"},
		"sent soon afterwards":            {14, 15, cut, "first"},
		"sent long afterwards":            {15, 16, cut, ""},
		"in flight for both":              {9, 21, cut, "second"},
		"the second can do no such thing": {9, 21, refused, "first"},
	} {
		got, found := blame(request{sent: at(c.sent), over: at(c.over)}, c.what, strikes)
		require.Equal(t, c.blamed, got, name)
		require.Equal(t, c.blamed != "", found, name)
	}
}

func TestAnUnexplainedLossAndASecondRunFailTheRun(t *testing.T) {
	t.Parallel()
	r := &report{}
	r.account([]request{{id: "a", answered: true}, {id: "b", failure: "no answer"}}, nil, map[string]int{"a": 2})
	require.ErrorContains(t, r.verdict(), "1 requests ended twice")
	require.ErrorContains(t, r.verdict(), "1 requests got no answer though no fault was near") // b; a is told of above
}

func TestTheJournalCountsStarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(path, []byte("start a\nstart b\nend a\nstart a\nleft b\n"), 0o600))
	began, err := readJournal(path)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 2, "b": 1}, began)
}

func TestALateAnswerIsNoLossAndCountsForItsFault(t *testing.T) {
	t.Parallel()
	at := time.Unix(100, 0)
	r := &report{Settings: settings{Leader: true}}
	r.account([]request{
		{id: "a", answered: true, sent: at, over: at.Add(5 * time.Second), task: task{work: time.Second}},
		{id: "b", answered: true, sent: at, over: at.Add(5 * time.Second), task: task{work: 4500 * time.Millisecond}},
	}, []strike{{"the leader is killed", []end{cut}, at, at}}, map[string]int{"a": 1, "b": 1})
	require.NoError(t, r.verdict())
	require.Equal(t, 2, r.Ends[answered])
	leader := r.Faults[0]
	require.Equal(t, "the leader is killed", leader.Fault)
	require.Equal(t, 1, leader.Ends[late])
	require.Equal(t, 4*time.Second, leader.Longest)
}

func TestMoreThanOneOfAThousandRefusedFailsARunWithLeaders(t *testing.T) {
	t.Parallel()
	r := &report{Settings: settings{Leader: true, Requests: 2000}, Ends: map[end]int{refused: 2}}
	require.NoError(t, r.verdict())
	r.Ends[refused]++
	require.ErrorContains(t, r.verdict(), "3 requests were refused")
}

func TestTheResultsReplaceThoseThatAFileHas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("before\n<!-- chaos-leader -->\nof the last run\n<!-- end of chaos-leader -->\nafter\n"), 0o600))
	r := &report{Origin: &lab.Origin{Commit: "abc"}, Settings: settings{Leader: true, Requests: 77}}
	for range 2 {
		require.NoError(t, r.putInto(path))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Regexp(t, `(?s)^before\n<!-- chaos-leader -->\n.*77 requests.*\n<!-- end of chaos-leader -->\nafter\n$`, string(text))
	require.NotContains(t, string(text), "of the last run")
	require.NoError(t, os.WriteFile(path, []byte("nothing"), 0o600))
	require.ErrorContains(t, r.putInto(path), "<!-- chaos-leader -->")
}

func TestAPartIsStartedAgainWheneverItEnds(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	p := &part{start: func() (child, error) {
		cmd := exec.CommandContext(ctx, "sleep", "60")
		if err := cmd.Start(); err != nil {
			return child{}, err
		}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		return child{cmd.Process.Pid, ended}, nil
	}}
	require.NoError(t, p.keep(ctx))
	first := p.child()
	require.NoError(t, p.end(ctx, syscall.SIGKILL))
	second := p.child()
	require.NotEqual(t, first.pid, second.pid)
	require.NoError(t, p.pause(ctx, 0))
	require.NoError(t, p.end(ctx, syscall.SIGTERM))
	stop()
	<-p.child().ended
}

func TestTheLeaseIsHeldFromEverybody(t *testing.T) {
	t.Parallel()
	s := &stack{dir: t.TempDir()}
	ctx, release := context.WithCancel(t.Context())
	held := make(chan error, 1)
	go func() { held <- s.holdLease(ctx, nil) }()
	reads := func() error {
		lock, err := os.OpenFile(filepath.Join(s.dir, "leader.lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer lock.Close()
		return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	require.Eventually(t, func() bool { return reads() != nil }, 10*time.Second, time.Millisecond)
	release()
	require.NoError(t, <-held)
	// A process that another test has just forked has a copy of the file until it runs its program.
	require.Eventually(t, func() bool { return reads() == nil }, 10*time.Second, time.Millisecond)
}
