package instance_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

const patience = 10 * time.Second

// running is an instance under test.
type running struct {
	cancel context.CancelCauseFunc
	report chan wire.Report
}

// serve starts an instance; goroutines that outlive it and the test fail the test.
func serve(t *testing.T, c instance.Config) *running {
	t.Helper()
	if c.Handler == nil {
		c.Handler = http.HandlerFunc(hello)
	}
	if c.Environment == "" {
		c.Environment = "env-1"
	}
	c.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{cancel: cancel, report: make(chan wire.Report, 1)}
	go func() { r.report <- instance.Serve(ctx, c) }()
	t.Cleanup(func() { cancel(nil) })
	return r
}

func (r *running) end(t *testing.T) wire.Report {
	t.Helper()
	select {
	case report := <-r.report:
		return report
	case <-time.After(patience):
		require.FailNow(t, "the instance does not end")
		return wire.Report{}
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	info, _ := instance.InfoFrom(r.Context())
	fmt.Fprintf(w, "hello from %s with %d in flight", info.Environment, info.Gate.InFlight())
}

func get(t *testing.T, c *http.Client, path string) (int, string) {
	t.Helper()
	res, err := c.Get("http://app" + path)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

// leaks must be called before anything that registers a cleanup.
func leaks(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
}

func TestServesAndDrainsWhenTold(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *relaytest.Relay{"tcp": relaytest.Start, "tls": relaytest.StartTLS} {
		for _, http2 := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s http2=%v", name, http2), func(t *testing.T) {
				leaks(t)
				relay := start(t)
				r := serve(t, instance.Config{Invocation: relaytest.Invocation(3, relay), Version: "7", Cold: true})
				control, said := relay.Welcome(t)
				require.Equal(t, wire.Message{
					Kind: wire.KindHello, Version: wire.Version, Instance: "i-1", Environment: "env-1", Slots: 3, Cold: true,
					FunctionVersion: "7", Build: wire.Build(), Features: wire.PeerFeatures(),
				}, said)

				status, body := get(t, relay.Client(t, http2), "/")
				require.Equal(t, 200, status)
				require.Equal(t, "hello from env-1 with 1 in flight", body)

				control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
				goodbye := control.Await(t, wire.KindGoodbye)
				report := r.end(t)
				require.Equal(t, report, *goodbye.Report)
				require.Equal(t, wire.ReasonScaleIn, report.Reason)
				require.EqualValues(t, 1, report.Requests)
				require.Positive(t, report.BytesIn)
				require.Positive(t, report.BytesOut)
				_, err := control.Receive()
				require.Error(t, err, "goodbye is the last message")
			})
		}
	}
}

func TestNextTunnelIsDialledAtTheFirstByte(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	serve(t, instance.Config{Invocation: relaytest.Invocation(3, relay)})
	relay.Welcome(t)
	for range 5 {
		status, _ := get(t, relay.Client(t, true), "/") // each client needs a tunnel of its own
		require.Equal(t, 200, status)
	}
	require.Eventually(t, func() bool { return relay.Dials(wire.TunnelPath) >= 6 }, patience, time.Millisecond)
}

// Fifty sockets opened at once must not wait for fifty dials in a row, and an instance at rest keeps one idle tunnel.
func TestABurstIsDialledInParallelAndLeavesOneTunnel(t *testing.T) {
	leaks(t)
	relay := relaytest.StartTLS(t)
	relay.Delay(25 * time.Millisecond) // so that a dial takes longer than this test stands still
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(64, relay)})
	control, _ := relay.Welcome(t)
	var used []net.Conn
	for range 64 {
		conn, err := relay.Tunnel(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app\r\n\r\n")
		used = append(used, conn)
	}
	for _, conn := range used {
		_, err := conn.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	dials := func() int { return relay.Dials(wire.TunnelPath) }
	require.Eventually(t, func() bool { return dials() == 64+wire.MaxIdleTunnels }, patience, time.Millisecond)
	for range wire.MaxIdleTunnels {
		conn, err := relay.Tunnel(t.Context())
		require.NoError(t, err)
		conn.Close()
	}
	_, err := relay.Tunnel(t.Context())
	require.NoError(t, err)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.EqualValues(t, 64, r.end(t).Requests)
	require.Equal(t, 64+wire.MaxIdleTunnels+1, dials(), "only one is dialled again")
}

func TestLoadIsReportedOnChange(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	release := make(chan struct{})
	serve(t, instance.Config{Invocation: relaytest.Invocation(10, relay), Handler: http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { <-release })})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	done := make(chan error, 4)
	for range 4 {
		go func() {
			res, err := client.Get("http://app/")
			if err == nil {
				res.Body.Close()
			}
			done <- err
		}()
	}
	messages := 0
	for last := 0; last != 4; messages++ {
		last = control.Await(t, wire.KindLoad).InFlight
	}
	close(release)
	for range 4 {
		require.NoError(t, <-done)
	}
	for last := 4; last != 0; messages++ {
		last = control.Await(t, wire.KindLoad).InFlight
	}
	require.LessOrEqual(t, messages, 8)
}

// A number is said again after something has happened, so that silence says that nothing has.
func TestLoadIsRepeatedAfterRequestsHaveComeAndGone(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	release := make(chan struct{})
	serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				<-release
			}
		})})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	held := make(chan error, 1)
	go func() {
		res, err := client.Get("http://app/held")
		if err == nil {
			res.Body.Close()
		}
		held <- err
	}()
	require.Equal(t, 1, control.Await(t, wire.KindLoad).InFlight)
	status, _ := get(t, client, "/short")
	require.Equal(t, http.StatusOK, status)
	for control.Await(t, wire.KindLoad).InFlight != 1 { // both, if the short one took long
	}
	close(release)
	require.NoError(t, <-held)
}

func TestDrainWaitsForRequestsAndServesLateOnes(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(5, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			entered <- struct{}{}
			<-release
			io.WriteString(w, "done")
		})})
	control, _ := relay.Welcome(t)
	answers := make(chan string, 2)
	send := func() {
		res, err := relay.Client(t, true).Get("http://app/")
		if err != nil {
			answers <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answers <- string(body)
	}
	go send()
	<-entered
	r.cancel(nil)
	require.Equal(t, wire.ReasonShutdown, control.Await(t, wire.KindDrain).Reason)
	close(release)
	require.Equal(t, "done", <-answers)
	go send() // was on the way, on a tunnel of its own: a drain of the relay's has not told otherwise
	<-entered
	require.Equal(t, "done", <-answers)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonShutdown})
	require.EqualValues(t, 2, r.end(t).Requests)
}

// The time after the last request is billed. An instance that waited for more of them could not end this quickly even once.
func TestADrainOfTheRelaysWaitsForNothing(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	fastest := patience
	for giveUp := time.Now().Add(patience); fastest > 20*time.Millisecond && time.Now().Before(giveUp); {
		r := serve(t, instance.Config{Invocation: relaytest.Invocation(5, relay)})
		control, _ := relay.Welcome(t)
		told := time.Now()
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
		r.end(t)
		fastest = min(fastest, time.Since(told))
	}
	require.LessOrEqual(t, fastest, 20*time.Millisecond)
}

func TestDrainLimitCutsAndCancels(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	entered, cancelled := make(chan struct{}), make(chan struct{})
	inv := relaytest.Invocation(5, relay)
	inv.DrainLimit = wire.Millis(50 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		close(cancelled)
	})})
	control, _ := relay.Welcome(t)
	failed := make(chan error, 1)
	go func() {
		_, err := relay.Client(t, true).Get("http://app/")
		failed <- err
	}()
	<-entered
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonOperator})
	require.Equal(t, wire.ReasonOperator, r.end(t).Reason)
	<-cancelled
	require.Error(t, <-failed)
}

func TestDeadlineDrains(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(5, relay), Deadline: time.Now().Add(time.Second)})
	control, _ := relay.Welcome(t)
	require.Equal(t, wire.ReasonDeadline, control.Await(t, wire.KindDrain).Reason)
	require.Equal(t, wire.ReasonDeadline, r.end(t).Reason)
}

func TestRelayUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listener.Close()
	leaks(t)
	inv := relaytest.Invocation(1)
	inv.Relays = []wire.Relay{{Address: listener.Addr().String()}}
	inv.DialTimeout = wire.Millis(100 * time.Millisecond)
	report := serve(t, instance.Config{Invocation: inv}).end(t)
	require.Equal(t, wire.ReasonRelayUnreachable, report.Reason)
	require.Contains(t, report.Detail, "connection refused")
	require.Zero(t, report.Served)
}

func TestRelayThatAnswersNothing(t *testing.T) {
	leaks(t)
	relay := relaytest.StartTLS(t)
	relay.Mute()
	inv := relaytest.Invocation(1, relay)
	inv.DialTimeout = wire.Millis(100 * time.Millisecond)
	report := serve(t, instance.Config{Invocation: inv}).end(t)
	require.Equal(t, wire.ReasonRelayUnreachable, report.Reason)
	require.Contains(t, report.Detail, "within 100ms")
}

func TestRefusedTokenEndsAtOnce(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	relay.Refuse(http.StatusUnauthorized, "token expired 3s ago")
	inv := relaytest.Invocation(1, relay)
	inv.DialTimeout = wire.Millis(time.Hour)
	report := serve(t, instance.Config{Invocation: inv}).end(t)
	require.Equal(t, wire.ReasonRefused, report.Reason)
	require.Contains(t, report.Detail, "401 Unauthorized: token expired 3s ago")
}

func TestRefusedHelloEndsAtOnce(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(1, relay)})
	control := relay.Control(t)
	control.Next(t)
	control.Send(t, wire.Message{Kind: wire.KindRefused, Detail: "no such instance"})
	report := r.end(t)
	require.Equal(t, wire.ReasonRefused, report.Reason)
	require.Contains(t, report.Detail, "no such instance")
}

func TestBusyRelayIsTriedAgain(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	relay.Refuse(http.StatusServiceUnavailable, "at a limit")
	serve(t, instance.Config{Invocation: relaytest.Invocation(1, relay)})
	require.Eventually(t, func() bool { return relay.Dials(wire.ControlPath) > 1 }, patience, time.Millisecond)
	relay.Refuse(0, "")
	relay.Welcome(t)
}

func TestWrongCertificateIsRefused(t *testing.T) {
	leaks(t)
	relay, other := relaytest.StartTLS(t), relaytest.StartTLS(t)
	for name, breaks := range map[string]func(*wire.Relay){
		"another ca":   func(r *wire.Relay) { r.CA = other.Wire().CA },
		"another name": func(r *wire.Relay) { r.Name = "elsewhere.test" },
		"no pem":       func(r *wire.Relay) { r.CA = "?" },
	} {
		inv := relaytest.Invocation(1, relay)
		inv.DialTimeout = wire.Millis(600 * time.Millisecond)
		breaks(&inv.Relays[0])
		report := serve(t, instance.Config{Invocation: inv}).end(t)
		require.Equal(t, wire.ReasonRelayUnreachable, report.Reason, name)
		require.Regexp(t, "certificate", report.Detail, name)
	}
	require.Zero(t, relay.Dials(wire.ControlPath))
}

func TestLostRelayIsDialledAgainWhileAnotherServes(t *testing.T) {
	leaks(t)
	one, two := relaytest.Start(t), relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, one, two)})
	one.Welcome(t)
	control, _ := two.Welcome(t)
	one.Cut()
	status, _ := get(t, two.Client(t, true), "/")
	require.Equal(t, 200, status)
	one.Welcome(t)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonRotation})
	require.Equal(t, wire.ReasonRotation, r.end(t).Reason)
}

func TestOneRelaysDrainIsToldToTheOthers(t *testing.T) {
	leaks(t)
	one, two := relaytest.Start(t), relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, one, two)})
	first, _ := one.Welcome(t)
	second, _ := two.Welcome(t)
	get(t, one.Client(t, true), "/") // both are up
	get(t, two.Client(t, true), "/")
	first.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonRotation})
	require.Equal(t, wire.ReasonRotation, second.Await(t, wire.KindDrain).Reason)
	for {
		m := first.Next(t)
		require.NotEqual(t, wire.KindDrain, m.Kind, "the one that asked is not told")
		if m.Kind == wire.KindGoodbye {
			break
		}
	}
	r.end(t)
}

func TestRelayLost(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(500 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv})
	relay.Welcome(t)
	get(t, relay.Client(t, true), "/")
	lost := time.Now()
	relay.Close()
	report := r.end(t)
	require.Equal(t, wire.ReasonRelayLost, report.Reason)
	require.GreaterOrEqual(t, time.Since(lost), 2*inv.DialTimeout.Duration(), "it may have been silent for a moment only")
	require.Contains(t, report.Detail, "connection refused")
}

// A relay that was started again answers thousands of peers: one that has taken the connection is waited for.
func TestABusyRelayIsWaitedFor(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(330 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv})
	control, _ := relay.Welcome(t)
	get(t, relay.Client(t, true), "/")
	const slow = 100 * time.Millisecond // one way, of which control stream and hello take seven
	relay.Delay(slow)
	lost := time.Now()
	control.Close()
	control, _ = relay.Welcome(t)
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.ReasonScaleIn, r.end(t).Reason)
	require.Greater(t, time.Since(lost), 2*inv.DialTimeout.Duration(), "or this test shows nothing")
}

// A relay has just answered the registration of a peer, and those of a thousand others.
func TestARelayThatAnsweredARegistrationIsWaitedFor(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	relay.Delay(100 * time.Millisecond) // one way
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(150 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv, Registered: true})
	control, _ := relay.Welcome(t)
	get(t, relay.Client(t, true), "/")
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.ReasonScaleIn, r.end(t).Reason)
}

// One that has let the control stream in counts the instance as up a moment later.
func TestARelayThatHasAnsweredIsWaitedFor(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(500 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv})
	control := relay.Control(t)
	require.Equal(t, wire.KindHello, control.Next(t).Kind)
	time.Sleep(inv.DialTimeout.Duration() * 3 / 2) // the relay is slow
	control.Send(t, wire.Message{Kind: wire.KindWelcome})
	control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
	require.Equal(t, wire.ReasonScaleIn, r.end(t).Reason)
}

// One that never answers is given up.
func TestARelayThatIsSilentAfterItWasLost(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	inv := relaytest.Invocation(2, relay)
	inv.DialTimeout = wire.Millis(250 * time.Millisecond)
	r := serve(t, instance.Config{Invocation: inv})
	control, _ := relay.Welcome(t)
	get(t, relay.Client(t, true), "/")
	relay.Mute()
	lost := time.Now()
	control.Close()
	report := r.end(t)
	require.Equal(t, wire.ReasonRelayLost, report.Reason)
	require.GreaterOrEqual(t, time.Since(lost), 10*inv.DialTimeout.Duration())
	require.Contains(t, report.Detail, "no answer within 5s")
}

// held is a handler whose requests last until they are released or cancelled, and a request to it, under way.
type held struct {
	entered, release chan struct{}
	cancelled        chan error
	answer           chan error
}

func newHeld() *held {
	return &held{
		entered: make(chan struct{}), release: make(chan struct{}), cancelled: make(chan error, 1), answer: make(chan error, 1),
	}
}

func (h *held) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	close(h.entered)
	select {
	case <-h.release:
	case <-r.Context().Done():
		h.cancelled <- r.Context().Err()
	}
}

// begin sends the request and returns when the handler has it.
func (h *held) begin(t *testing.T, relay *relaytest.Relay) {
	client := relay.Client(t, true)
	go func() {
		res, err := client.Get("http://app/")
		if err == nil {
			res.Body.Close()
		}
		h.answer <- err
	}()
	<-h.entered
}

func TestARequestSurvivesTheLossOfTheControlStream(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *relaytest.Relay{"tcp": relaytest.Start, "tls": relaytest.StartTLS} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay, h := start(t), newHeld()
			r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: h})
			first, _ := relay.Welcome(t)
			h.begin(t, relay)
			first.Close()
			second, again := relay.Welcome(t)
			require.Equal(t, "env-1", again.Environment)
			second.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
			close(h.release)
			require.NoError(t, <-h.answer)
			report := r.end(t)
			require.Equal(t, wire.ReasonScaleIn, report.Reason)
			require.EqualValues(t, 1, report.Requests)
		})
	}
}

// A handler returns before a slow client has all of its answer.
func TestTheEndOfAnAnswerOutlivesTheControlStream(t *testing.T) {
	leaks(t)
	const window, tail = 4 << 20, 2000 // what the client takes before it is asked to, and what the server buffers
	relay, returned := relaytest.Start(t), make(chan struct{})
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			defer close(returned)
			io.WriteString(w, strings.Repeat("x", window))
			io.WriteString(w, strings.Repeat("x", tail))
		})})
	control, _ := relay.Welcome(t)
	res, err := relay.Client(t, true).Get("http://app/")
	require.NoError(t, err)
	defer res.Body.Close()
	<-returned
	r.cancel(nil)
	control.Await(t, wire.KindDrain)
	relay.Refuse(http.StatusServiceUnavailable, "at a limit")
	control.Close()
	time.Sleep(100 * time.Millisecond) // the client is slow
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, window+tail, len(body))
	require.Equal(t, wire.ReasonShutdown, r.end(t).Reason)
}

func TestARelayLostForGoodCancelsItsRequests(t *testing.T) {
	for name, draining := range map[string]bool{"serving": false, "draining": true} {
		t.Run(name, func(t *testing.T) {
			leaks(t)
			relay, h := relaytest.Start(t), newHeld()
			r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: h})
			control, _ := relay.Welcome(t)
			h.begin(t, relay)
			if draining {
				r.cancel(nil)
				control.Await(t, wire.KindDrain)
			}
			relay.Refuse(http.StatusUnauthorized, "gone")
			control.Close()
			require.Error(t, <-h.answer)
			require.Error(t, <-h.cancelled)
			r.end(t)
		})
	}
}

func TestStopCarriesItsReason(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	r := serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay)})
	control, _ := relay.Welcome(t)
	get(t, relay.Client(t, true), "/") // it is up
	r.cancel(&instance.Stop{Reason: wire.ReasonAppExited, Detail: "exit status 3"})
	drain := control.Await(t, wire.KindDrain)
	require.Equal(t, wire.ReasonAppExited, drain.Reason)
	report := r.end(t)
	require.Equal(t, wire.ReasonAppExited, report.Reason)
	require.Equal(t, "exit status 3", report.Detail)
}

func TestPanicAbortsOnlyItsRequest(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				io.WriteString(w, strings.Repeat("x", 10_000))
				panic("as tested")
			}
		})})
	relay.Welcome(t)
	client := relay.Client(t, true)
	res, err := client.Get("http://app/panic")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	require.Error(t, err)
	status, _ := get(t, client, "/")
	require.Equal(t, 200, status)
}

// Scenario 15: a socket holds its slot until it closes, though its handler has returned.
func TestHijackedConnectionHoldsItsSlot(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	hijacked := make(chan net.Conn, 1)
	serve(t, instance.Config{Invocation: relaytest.Invocation(2, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/socket" {
				hello(w, r)
				return
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				hijacked <- conn
			}
		})})
	relay.Welcome(t)
	conn, err := relay.Tunnel(t.Context())
	require.NoError(t, err)
	fmt.Fprint(conn, "GET /socket HTTP/1.1\r\nHost: app\r\n\r\n")
	socket := <-hijacked
	client := relay.Client(t, true)
	_, body := get(t, client, "/")
	require.Equal(t, "hello from env-1 with 2 in flight", body)
	socket.Close()
	socket.Close()
	_, body = get(t, client, "/")
	require.Equal(t, "hello from env-1 with 1 in flight", body)
	conn.Close()
}

// Errors are told of within moments, each few of them: a version that answers with nothing else is given up by that.
func TestErrorsAreReportedSoon(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	serve(t, instance.Config{Invocation: relaytest.Invocation(10, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	last := wire.Message{}
	report := func() time.Duration {
		began := time.Now()
		get(t, client, "/")
		for before := last.Errors; last.Errors == before; {
			last = control.Await(t, wire.KindLoad)
		}
		return time.Since(began)
	}
	report() // the next one comes a whole period later, if they are periodic
	fastest := patience
	for giveUp := time.Now().Add(patience); fastest > time.Second/2 && time.Now().Before(giveUp); {
		fastest = min(fastest, report())
	}
	require.LessOrEqual(t, fastest, time.Second/2, "and not each second")
}

// Requests that are over before anybody could report them are told of by their answers, soon, and not each by itself.
func TestAnswersAreReported(t *testing.T) {
	leaks(t)
	relay := relaytest.Start(t)
	serve(t, instance.Config{Invocation: relaytest.Invocation(10, relay), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bad" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})})
	control, _ := relay.Welcome(t)
	client := relay.Client(t, true)
	for n := range 50 {
		path := "/"
		if n%5 == 0 {
			path = "/bad"
		}
		get(t, client, path)
	}
	messages, last := 0, wire.Message{}
	for last.Answers < 50 {
		last = control.Await(t, wire.KindLoad)
		messages++
	}
	require.EqualValues(t, 10, last.Errors)
	require.EqualValues(t, 50, last.Requests)
	require.Less(t, messages, 50)
}
