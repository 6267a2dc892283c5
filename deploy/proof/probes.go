package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// A probe checks one assumption about AWS that lambdalocal, the simulator or the scheduler makes.
type probe struct {
	id      string // by which lambdalocal's code and README call it
	assumed string
	ask     func(context.Context, *stage) (saw string, asAssumed bool, err error)
	long    bool // it runs after all short ones, at the same time as other long ones
}

// probes is in the order in which they run, because later probes need the environments of earlier ones.
var probes = []probe{
	{id: "invoke-cold", assumed: "a cold start of a small function takes less than 2 s, its init included", ask: coldInvoke},
	{id: "invoke-warm", assumed: "an Invoke of a frozen environment takes less than 50 ms longer than one that runs nothing", ask: warmInvoke},
	{id: "dial", assumed: "a function dials a host of its region within 50 ms, cold and warm", ask: dialTimes},
	{id: "report-fields", assumed: "REPORT has " + strings.Join(reportFields, ", "), ask: fieldsOfReport},
	{id: "bill", assumed: "billed is duration and init together, rounded up to a millisecond", ask: billed},
	{id: "throttle-reason", assumed: "a function without concurrency is refused with " + reserved, ask: throttleReason},
	{id: "tail-waits", assumed: "the answer is not kept back by an extension that is busy, but with LogType Tail it is", ask: tailWaits},
	{id: "extension-variables", assumed: "extensions get Lambda's variables, but not the handler, the log's names and the runtime's folders", ask: extensionVariables},
	{id: "socket-freeze", assumed: "a frozen environment's connection stands, and its kernel acknowledges what comes", ask: socketOfFrozen},
	{id: "socket-thaw", assumed: "after the thaw the connection works, and has what came meanwhile", ask: socketAfterThaw},
	{id: "socket-kill", assumed: "when an environment is killed at its timeout its connection is closed or reset within a second", ask: socketOfKilled},
	{id: "idle-life", assumed: "an idle environment is kept for 5 to 15 minutes", ask: idleLife, long: true},
	{id: "long-invocation", assumed: "an invocation of nearly 15 minutes keeps its connection through NAT, and its caller gets the answer", ask: longInvocation, long: true},
}

func coldInvoke(ctx context.Context, s *stage) (string, bool, error) {
	way, err := s.way(ctx)
	if err != nil {
		return "", false, err
	}
	c, err := s.call(ctx, plain, order{}, types.LogTypeNone)
	if err == nil && !c.Cold {
		err = errors.New("the first invocation met an environment that was there")
	}
	took := c.took - way
	return fmt.Sprintf("%s beyond the way there (%s)", ms(took), ms(way)), took < 2*time.Second, err
}

func warmInvoke(ctx context.Context, s *stage) (string, bool, error) {
	way, err := s.way(ctx)
	if err != nil {
		return "", false, err
	}
	var all []time.Duration
	for range samples {
		time.Sleep(s.frozen) // to be measured with a thaw
		c, err := s.call(ctx, plain, order{}, types.LogTypeNone)
		if err != nil || c.Cold {
			return "", false, errors.Join(err, whereCold(c))
		}
		all = append(all, c.took-c.Took-way)
	}
	took := median(all)
	return fmt.Sprintf("%s beyond the way there (%s), median of %d", ms(took), ms(way), samples), took < 50*time.Millisecond, nil
}

func whereCold(c call) error {
	if c.Cold {
		return errors.New("an environment was not used again")
	}
	return nil
}

func dialTimes(ctx context.Context, s *stage) (string, bool, error) {
	cold, err := s.call(ctx, inside, order{Name: "dial"}, types.LogTypeNone)
	if err != nil {
		return "", false, err
	}
	var all []time.Duration
	for range samples {
		c, err := s.call(ctx, inside, order{Name: "dial"}, types.LogTypeNone)
		if err != nil {
			return "", false, err
		}
		all = append(all, c.Dialed)
	}
	warm, limit := median(all), 50*time.Millisecond
	return fmt.Sprintf("%s cold, %s warm, through NAT", ms(cold.Dialed), ms(warm)), cold.Dialed < limit && warm < limit, nil
}

var reportFields = []string{"RequestId", "Duration", "Billed Duration", "Memory Size", "Max Memory Used", "Init Duration"}

// reportOf returns the fields of the REPORT line in an invocation's log, in their order, and their values.
func reportOf(log string) (names []string, values map[string]string) {
	values = map[string]string{}
	_, report, _ := strings.Cut(log, "REPORT ")
	report, _, _ = strings.Cut(report, "\n")
	for field := range strings.SplitSeq(strings.TrimSpace(report), "\t") {
		if name, value, ok := strings.Cut(strings.TrimSpace(field), ": "); ok {
			names, values[name] = append(names, name), value
		}
	}
	return names, values
}

// fieldsOfReport looks at a cold start, which has all fields.
func fieldsOfReport(ctx context.Context, s *stage) (string, bool, error) {
	c, err := s.call(ctx, extended, order{}, types.LogTypeTail)
	if err != nil {
		return "", false, err
	}
	names, _ := reportOf(c.log)
	return strings.Join(names, ", "), slices.Equal(names, reportFields), nil
}

var number = regexp.MustCompile(`^[0-9.]+`)

func billed(ctx context.Context, s *stage) (string, bool, error) {
	cold, err := s.call(ctx, short, order{}, types.LogTypeTail)
	if err != nil {
		return "", false, err
	}
	warm, err := s.call(ctx, short, order{}, types.LogTypeTail)
	if err != nil {
		return "", false, err
	}
	as, said := true, []string{}
	for kind, c := range map[string]call{"cold": cold, "warm": warm} {
		_, values := reportOf(c.log)
		of := func(field string) float64 {
			n, _ := strconv.ParseFloat(number.FindString(values[field]), 64)
			return n
		}
		duration, init, bill := of("Duration"), of("Init Duration"), of("Billed Duration")
		as = as && bill >= duration+init && bill < duration+init+2 // both are rounded
		said = append(said, fmt.Sprintf("%s: %v for a duration of %v and an init of %v", kind, bill, duration, init))
	}
	slices.Sort(said)
	return strings.Join(said, "; "), as, nil
}

const reserved = string(types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded)

func throttleReason(ctx context.Context, s *stage) (string, bool, error) {
	_, err := s.call(ctx, throttled, order{}, types.LogTypeNone)
	var refusal *types.TooManyRequestsException
	if !errors.As(err, &refusal) {
		return "", false, fmt.Errorf("it was not throttled: %w", err)
	}
	return string(refusal.Reason), string(refusal.Reason) == reserved, nil
}

func tailWaits(ctx context.Context, s *stage) (string, bool, error) {
	took := map[types.LogType]time.Duration{}
	for _, kind := range []types.LogType{types.LogTypeNone, types.LogTypeTail} {
		time.Sleep(linger + s.frozen) // until the extension is idle
		c, err := s.call(ctx, extended, order{}, kind)
		if err != nil || c.Cold {
			return "", false, errors.Join(err, whereCold(c))
		}
		took[kind] = c.took
	}
	none, tail := took[types.LogTypeNone], took[types.LogTypeTail]
	return fmt.Sprintf("%s without, %s with Tail, of an extension that is busy for %s", ms(none), ms(tail), ms(linger)), none < linger/2 && tail >= linger, nil
}

// withheld are the variables that extensions do not get, as AWS documents.
var withheld = []string{"_HANDLER", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"}

func extensionVariables(ctx context.Context, s *stage) (string, bool, error) {
	told, err := s.witness.see(ctx, "extension")
	if err != nil || len(told.Lines) == 0 {
		return "", false, errors.Join(err, errors.New("the extension has told nothing"))
	}
	names := strings.Fields(told.Lines[0].Text)[1:]
	as := slices.Contains(names, "AWS_LAMBDA_RUNTIME_API")
	for _, name := range withheld {
		as = as && !slices.Contains(names, name)
	}
	return strings.Join(names, " "), as, nil
}

// kept is the name of the connection that the function plain keeps while it is frozen.
const kept = "kept"

func socketOfFrozen(ctx context.Context, s *stage) (string, bool, error) {
	if _, err := s.call(ctx, plain, order{Name: kept}, types.LogTypeNone); err != nil {
		return "", false, err
	}
	time.Sleep(s.frozen)
	if err := s.witness.write(ctx, kept); err != nil {
		return "", false, err
	}
	now, err := s.witness.await(ctx, kept, 3*time.Second, func(now seen) bool { return now.End != "" || now.Unacked == 0 })
	said := "it stands"
	if now.End != "" {
		said = now.End
	}
	return fmt.Sprintf("%s; %d segments are not acknowledged after 3 s", said, now.Unacked), now.End == "" && now.Unacked == 0, err
}

func socketAfterThaw(ctx context.Context, s *stage) (string, bool, error) {
	c, err := s.call(ctx, plain, order{Use: "thawed"}, types.LogTypeNone)
	if c.Error != "" {
		return c.Error, false, nil // which is an answer
	}
	if err != nil || c.Cold {
		return "", false, errors.Join(err, whereCold(c))
	}
	now, err := s.witness.await(ctx, kept, 5*time.Second, func(now seen) bool { return len(now.Lines) > 0 })
	as := strings.TrimSpace(c.Read) == "line" && len(now.Lines) > 0
	return fmt.Sprintf("the function read %q, and %d lines of it came", strings.TrimSpace(c.Read), len(now.Lines)), as, err
}

func socketOfKilled(ctx context.Context, s *stage) (string, bool, error) {
	c, err := s.call(ctx, short, order{Name: "killed", Hold: time.Minute}, types.LogTypeNone)
	if err == nil && c.fault == "" {
		err = errors.New("the function was not cut at its timeout")
	}
	if err != nil {
		return "", false, err
	}
	began := time.Now()
	now, err := s.witness.await(ctx, "killed", 30*time.Second, func(now seen) bool { return now.End != "" })
	took := time.Since(began)
	if now.End == "" {
		return "nothing was heard for 30 s", false, err
	}
	return fmt.Sprintf("%s, within %s of the caller's answer", now.End, ms(took)), took < time.Second, err
}

func idleLife(ctx context.Context, s *stage) (string, bool, error) {
	if _, err := s.call(ctx, extended, order{}, types.LogTypeTail); err != nil {
		return "", false, err
	}
	shutdown := func(now seen) bool { return strings.HasPrefix(now.Lines[len(now.Lines)-1].Text, "shutdown") }
	now, err := s.witness.await(ctx, "extension", s.idle, func(now seen) bool { return len(now.Lines) > 0 && shutdown(now) })
	if err != nil {
		return "", false, err
	}
	if len(now.Lines) < 2 || !shutdown(now) {
		return fmt.Sprintf("longer than %s", s.idle), false, nil
	}
	last, before := now.Lines[len(now.Lines)-1], now.Lines[len(now.Lines)-2]
	life := last.At.Sub(before.At)
	return fmt.Sprintf("%s, then %s", life.Round(100*time.Millisecond), last.Text), life >= s.idle/8 && life <= 3*s.idle/8, nil
}

// beats is how many lines a long invocation sends.
const beats = 60

func longInvocation(ctx context.Context, s *stage) (string, bool, error) {
	c, err := s.call(ctx, inside, order{Name: "long", Hold: s.long, Beat: s.long / beats}, types.LogTypeNone)
	if err != nil || c.fault != "" {
		return fmt.Sprintf("the caller has no answer after %s: %v %s", c.took.Round(time.Second), err, c.fault), false, nil
	}
	now, err := s.witness.await(ctx, "long", 5*time.Second, func(now seen) bool { return len(now.Lines) == beats-1 })
	return fmt.Sprintf("answered after %s, %d of %d beats came", c.took.Round(100*time.Millisecond), len(now.Lines), beats-1), len(now.Lines) == beats-1, err
}

// ms writes a time in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond)) }
