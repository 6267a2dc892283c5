package dispatch

import (
	"cmp"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pool"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/provider"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/scaler"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// An instance is the shell's side of a pool.Instance.
type instance struct {
	function *function
	id       string
	endpoint string // name, "web/0007"
	core     *pool.Instance
	by       *settings // the settings that it was started with
	learned  int       // the learned slots that it had when it was started; 0: concurrency is configured
	expected chan bool // receives once whether the relays let its peer in; capacity 1

	// Guarded by function.mu.
	environment string
	peer        relays.Peer // what its last hello said
	worn        wire.Notice // why its environment is worn; empty: it is not
	memory      int64       // bytes that its environment's processes hold; 0: not known
	reported    int         // requests in flight as the peer counts them
	met         bool        // there was a hello
	wait        wait        // what it waits for while it starts
	dialled     int         // slots of a peer that is up but whose endpoint Envoy does not know yet; 0: none waits for that
	isUp        bool        // the relay reported Up and not yet Down
	leaves      wire.Reason // why it drains by its own decision; empty if it does not
	goodbye     *wire.Report
	flown       []flown   // requests that have ended lately
	broke       time.Time // the first sign that it has died; zero: none
	orphaned    bool      // its invocation goes on, but nobody listens for the answer: Down is its end
	givenUp     bool      // it was not up when its answer was lost: it is about to be ended
	letGo       string    // why the relay has ended it; empty: it has not
	ended       bool
}

// begin assigns an id and an endpoint to an instance that the pool wants started. The caller holds f.mu.
func (f *function) begin(at time.Time, core *pool.Instance) *instance {
	if !core.Adopted() {
		f.bill.Started(at)
	}
	i := f.know(newID(), core)
	if i.by.plan.settings.Learn {
		i.learned = f.pool.Stats().Concurrency
	}
	return i
}

// know makes the shell's side of a pool's instance, with the endpoint of its index. The caller holds f.mu.
func (f *function) know(id string, core *pool.Instance) *instance {
	i := &instance{function: f, id: id, endpoint: endpointName(f.name, core.Index()), core: core, by: f.settings(), expected: make(chan bool, 1)}
	core.ID, core.Owner = i.id, i
	f.endpoints.assign(i, func(index int) string { return f.d.socket(endpointName(f.name, index)) })
	f.d.remember(i)
	return i
}

// setExpected says whether the relays let the instance's peer in. Only the first call counts.
func (i *instance) setExpected(expected bool) {
	select {
	case i.expected <- expected:
	default:
	}
}

// invoke starts an instance and follows it to its end.
func (f *function) invoke(i *instance) {
	log := f.log.WithFields(logrus.Fields{"instance": i.id, "reason": i.core.Need()})
	if version := i.core.Pin(); version != "" {
		log = log.WithField("version", version)
	}
	log.Info("instance starts")
	f.d.relay.Expect(f.expectation(i))
	f.watch(i)
	go func() {
		defer f.d.invocations.Done()
		f.returned(i, f.invokeExpected(i))
	}()
}

// invokeExpected invokes the function once the relays expect the instance's peer. If no relay lets it in, nothing is invoked.
func (f *function) invokeExpected(i *instance) provider.End {
	select {
	case expected := <-i.expected:
		if !expected {
			return provider.End{Cause: scaler.Unknown, Detail: "no relay lets its peer in", NeverRan: true}
		}
	case <-f.d.stop.Done():
		return provider.End{Cause: scaler.Unknown, Detail: "left to itself: the control plane stops", NeverRan: true}
	}
	return i.by.provider.Invoke(f.d.stop, i.core.Pin(), f.invocation(i))
}

// returned handles the end of Invoke. If only the connection to the provider broke, the invocation goes on: an instance whose
// tunnels are up keeps serving until they are gone too. An instance that has said goodbye has ended in the way that it reported.
func (f *function) returned(i *instance, end provider.End) {
	if said := f.farewell(i); said != nil && said.Worn != "" && end.Report == nil {
		end.Cause, end.Detail, end.Report = "", "", said // its process ended on purpose
	}
	switch {
	case end.Cause != scaler.Network || end.Report != nil:
	case f.d.abandoned.Load():
		return // it goes on, for the next leader
	case f.d.stop.Err() != nil:
		end = provider.End{Cause: scaler.Unknown, Detail: "left to itself: the control plane stops"}
	case f.servesOn(i):
		f.log.WithFields(logrus.Fields{"instance": i.id, "detail": end.Detail}).
			Warn("the invocation's answer is lost: the instance keeps serving")
		return
	default:
		if end.Report = f.farewell(i); end.Report != nil {
			end.Cause = ""
		}
		end.Lost = !end.NeverRan && end.Report == nil
	}
	f.ended(i, end)
}

// farewell is the report of the instance's goodbye; nil if it said none.
func (f *function) farewell(i *instance) *wire.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return i.goodbye
}

// servesOn decides whether the instance goes on without its answer: whether its tunnels are up. If they are, its end will be Down. If
// they are not, the caller ends it, and it does not come up in between: it would be given requests, and then be forgotten.
func (f *function) servesOn(i *instance) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i.orphaned, i.givenUp = i.isUp, !i.isUp
	return i.orphaned
}

// mayRegister returns the instances that an environment leaves by registering again, because a peer serves one at a time: those that
// nobody can reach. Without that, each registration whose answer came too late would take a place until the start timeout.
func (f *function) mayRegister(environment string) (left []*instance, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.forgotten:
		return nil, relays.ErrUnauthorized
	case !f.registers.Try(now()):
		return nil, relays.ErrRegisterTooOften
	case environment == "":
		return nil, nil
	}
	for core := range f.pool.Instances() {
		i := core.Owner.(*instance)
		if core.Adopted() && i.environment == environment && (core.State() == pool.Starting || core.State() == pool.Down) {
			left = append(left, i)
		}
	}
	return left, nil
}

// adopt makes an instance of a peer that registered by itself. It is like any other, but has no invocation.
func (f *function) adopt(r wire.Registration) (wire.Invocation, error) {
	left, err := f.mayRegister(r.Environment)
	if err != nil {
		return wire.Invocation{}, err
	}
	for _, i := range left {
		f.ended(i, provider.End{Cause: scaler.Unknown, Detail: "its peer has registered again"})
	}
	f.mu.Lock()
	at := now()
	if f.forgotten {
		f.mu.Unlock()
		return wire.Invocation{}, relays.ErrUnauthorized
	}
	core, err := f.pool.Adopt(at)
	if err != nil {
		f.mu.Unlock()
		return wire.Invocation{}, err
	}
	i := f.begin(at, core)
	i.environment = r.Environment
	f.arm(at)
	f.mu.Unlock()
	f.log.WithFields(logrus.Fields{"instance": i.id, "environment": r.Environment}).Info("instance registers")
	f.d.relay.Expect(f.expectation(i))
	f.watch(i)
	f.d.changed(f.name)
	return f.invocation(i), nil
}

func (f *function) expectation(i *instance) relays.Expectation {
	return relays.Expectation{
		Instance: i.id,
		Function: f.name,
		Endpoint: i.endpoint,
		// The pool gives the instance up first, with a better cause. The relay's limit only protects the relay.
		Expires: i.core.Started().Add(i.by.plan.settings.StartTimeout + 5*time.Second),
		StartBy: i.core.Started().Add(i.by.plan.settings.StartTimeout),
		Dollars: i.core.Price().PerHour(),
		Memo:    memoOf(i).text(),
	}
}

// up makes an instance ready, or lets it wait until Envoy knows its endpoint.
func (f *function) up(i *instance, up relays.Up) {
	f.meet(up.Peer)
	var todo effects
	f.mu.Lock()
	if i.ended || i.givenUp {
		f.mu.Unlock()
		return
	}
	at := now()
	f.wake(at, &todo)
	i.stopWaiting()
	i.isUp, i.environment, i.dialled, i.broke = true, up.Environment, up.Slots, time.Time{}
	i.peer, i.met = up.Peer, true
	i.core.In(up.Environment)
	if !up.Cold {
		i.core.Reused()
	}
	if up.Peer.Features.Has(wire.FeatureAnswers) {
		i.core.Counts()
	}
	i.core.Runs(up.Peer.FunctionVersion)
	if up.Left > 0 && !i.core.Adopted() {
		// Lambda's timeout does not count the init, so the peer knows better what is left. A shorter configured timeout
		// still holds.
		i.core.EndBy(at.Add(min(up.Left, i.by.config.Lambda.Timeout)))
	}
	if f.d.caretaker || f.endpoints.list[i.core.Index()].known {
		f.ready(at, i, &todo)
	} else {
		f.apply(at, f.pool.Dialled(at, i.core), &todo)
	}
	f.mu.Unlock()
	todo.carryOut(f)
}

// ready lets the instance serve, unless it was drained meanwhile. The caller holds f.mu.
func (f *function) ready(at time.Time, i *instance, todo *effects) {
	slots := i.dialled
	i.dialled = 0
	f.apply(at, f.pool.Up(at, i.core, slots), todo)
	if why := f.inherited.drains[i.id]; why != "" {
		f.apply(at, f.pool.Drain(at, i.core, why), todo)
	}
	if i.core.State() == pool.Ready {
		f.proven = true
		todo.ready = append(todo.ready, arrival{i, i.environment, i.peer.RequestID, i.core.Slots(), at.Sub(i.core.Started())})
		todo.changed = true
	}
}

// reported passes a peer's count of requests to the pool, which compares it with the leases. What exceeds them is foreign.
func (f *function) reported(i *instance, load relays.Load) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		i.reported, i.memory = load.InFlight, cmp.Or(load.Memory, i.memory)
		p.Answered(i.core, load.Answers, load.Errors)
		if load.Requests > 0 {
			p.Unanswered(i.core, load.Requests-min(load.Answers, load.Requests), load.InFlight)
		}
		return p.Report(at, i.core, load.InFlight, pool.DefaultDelay+load.Way)
	})
}

// draining records that a peer drains by its own decision.
func (f *function) draining(i *instance, reason wire.Reason) {
	f.log.WithFields(logrus.Fields{"instance": i.id, "reason": reason}).Info("instance drains by itself")
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects {
		i.leaves = reason
		if reason == wire.ReasonAppExited {
			i.breaks(at)
		}
		return p.Draining(at, i.core)
	})
}

// drainReason is why the instance drains, by our decision or its own. The caller holds f.mu.
func (i *instance) drainReason() wire.Reason {
	if ours := i.core.DrainReason(); ours != "" {
		return wire.Reason(ours)
	}
	return i.leaves
}

// lost takes an instance out of service because the relay does not hear its peer any more. It may come back. Meanwhile requests
// in flight go on, and so does a drain.
func (f *function) lost(i *instance, err error) {
	f.log.WithField("instance", i.id).WithError(err).Warn("instance lost: the relay does not hear its peer any more")
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects {
		i.dialled = 0
		i.breaks(at)
		if i.core.State() == pool.Draining {
			return p.Tick(at)
		}
		return p.Down(at, i.core)
	})
}

// away takes an instance out of service because its relay is gone, and its tunnels with it. Its invocation goes on.
func (f *function) away(i *instance) {
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects {
		i.dialled = 0
		return p.Away(at, i.core)
	})
}

// attached tells the pool whether a relay is attached.
func (f *function) attached(one bool) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Relay(at, one) })
}

// down takes an instance out of service because its tunnels are gone. If no invocation's answer will come, this is also its end.
func (f *function) down(i *instance, report *wire.Report, err error) {
	i.setExpected(false)
	givenUp := errors.Is(err, relays.ErrForgotten) || errors.Is(err, relays.ErrReplaced)
	if report == nil && !givenUp {
		f.log.WithField("instance", i.id).WithError(err).Warn("instance lost: it did not come back")
	}
	last, served := i.core.Adopted(), false // without an invocation, or without its answer
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects {
		i.breaks(at)
		i.wait.lost = i.isUp || i.wait.app != ""
		last, served = last || i.orphaned, i.isUp || i.core.Slots() > 0
		i.isUp, i.dialled, i.goodbye = false, 0, report
		if err != nil {
			i.letGo = err.Error()
		}
		return p.Down(at, i.core)
	})
	if last {
		end := endWithoutAnswer(report, err, served)
		end.Lost, end.GivenUp = report == nil, givenUp
		f.ended(i, end)
	}
}

// endWithoutAnswer is the end of an instance as its control stream tells it.
func endWithoutAnswer(report *wire.Report, err error, served bool) provider.End {
	switch {
	case report != nil:
		return provider.End{Report: report}
	case errors.Is(err, relays.ErrReplaced):
		return provider.End{Cause: scaler.Network, Detail: err.Error()}
	case served:
		return provider.End{Cause: scaler.Crashed, Detail: err.Error()}
	default:
		return provider.End{Cause: scaler.StartTimeout, Detail: err.Error()}
	}
}

// drain drains an instance for an operator.
func (f *function) drain(i *instance) {
	f.change(i, func(p *pool.Pool, at time.Time) *pool.Effects { return p.Drain(at, i.core, pool.Operator) })
}

// killed is the verdict on an instance that the pool wants cut off. The caller holds f.mu.
func (f *function) killed(i *instance, at time.Time) verdict {
	if i.core.Late() {
		return verdict{instance: i, waited: f.missed(i, at)}
	}
	return verdict{instance: i, doubted: i.core.Doubted()}
}

// kill cuts off an instance that has passed its deadline. The relay reports Down afterwards.
func (f *function) kill(v verdict) {
	log := f.log.WithField("instance", v.id)
	switch {
	case v.waited != "":
		log.WithField("waited_for", v.waited).Warn("instance did not start in time: cut off")
	case v.doubted:
		log.Info("a start of the former leader gives way: it has not come up, and may never have been made")
	default:
		log.Warn("instance missed its deadline: cut off")
	}
	v.setExpected(false)
	f.d.relay.Forget(v.id)
}

// ended accounts for the end of an instance's invocation. A second call does nothing.
func (f *function) ended(i *instance, end provider.End) {
	var todo effects
	f.mu.Lock()
	if i.ended {
		f.mu.Unlock()
		return
	}
	i.ended = true
	if i.letGo != "" && end.Report != nil && end.Report.Reason == wire.ReasonRefused {
		end.Detail = i.letGo // the peer was refused because of that
	}
	i.stopWaiting()
	at := now()
	f.wake(at, &todo)
	killed := f.died(at, i, end)
	f.noteFailure(at, i, end, killed.requests())
	f.apply(at, f.pool.Ended(at, i.core, pool.End{Cause: end.Cause, Gone: f.endsWorn(end), Lost: end.Lost, GivenUp: end.GivenUp, Version: end.Version}), &todo)
	f.endpoints.vacate(i, at)
	f.countEnd(endReason(end))
	dearer := f.charge(at, i, end)
	todo.changed = true
	f.mu.Unlock()

	f.logEnd(i, end, killed.requests())
	f.logKiller(killed)
	if dearer {
		f.log.WithFields(logrus.Fields{"memory_mb": end.Usage.MemoryMB, "configured_mb": f.settings().config.Lambda.MemoryMB}).
			Warn("the function has more memory than lambda.memory_mb says: its instances cost more")
	}
	f.d.forget(i)
	if end.Lost {
		f.writeNote() // before the relay forgets the instance, because the next leader must know of the money held for it
	}
	f.d.relay.Forget(i.id)
	todo.carryOut(f)
	f.unstartable(i, end)
	f.d.retryOthers(f)
	f.d.dropIfEmpty(f)
}

// charge puts an ended invocation on the bill. It tells whether the function has more memory, so costs more, than configured.
// The caller holds f.mu.
func (f *function) charge(at time.Time, i *instance, end provider.End) (dearer bool) {
	switch {
	case i.core.Adopted():
		return false
	case end.NeverRan:
		f.bill.Refused(at, i.core.Started())
		return false
	}
	end.Usage.Up = i.core.Took()
	f.bill.Ended(at, i.core.Started(), end.Usage)
	if f.priced == 0 || end.Usage.MemoryMB <= f.priced {
		return false
	}
	f.priced = end.Usage.MemoryMB
	f.pool.Reprice(f.settings().plan.price(f.priced))
	return true
}

// endReason is the label of an end: the peer's reason, else the cause that the provider found.
func endReason(end provider.End) string {
	if end.Report != nil {
		return string(end.Report.Reason)
	}
	if end.Cause != "" {
		return string(end.Cause)
	}
	return string(scaler.Unknown)
}

// maxReasons bounds the labels of ends, because a peer may report any reason.
const maxReasons = 32

func (f *function) countEnd(reason string) {
	if _, known := f.ends[reason]; !known && len(f.ends) >= maxReasons {
		reason = "other"
	}
	f.ends[reason]++
}

func (f *function) logEnd(i *instance, end provider.End, inFlight string) {
	entry := f.log.WithFields(logrus.Fields{"instance": i.id, "reason": endReason(end)})
	if request := cmp.Or(end.Request, i.peer.RequestID); request != "" {
		entry = entry.WithField("request_id", request)
	}
	if end.Report != nil {
		entry = entry.WithField("requests", end.Report.Requests)
	}
	if end.Cause == "" {
		entry.Info("instance ended")
		return
	}
	if inFlight != "" {
		entry = entry.WithField("in_flight", inFlight)
	}
	entry.WithFields(logrus.Fields{"cause": end.Cause, "detail": end.Detail}).Warn("instance failed")
}

// close rejects queued requests and drains all instances.
func (f *function) close() {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects { return p.Close(at, pool.Closed) })
}

// change is do for a step after which Envoy must be told of the instance. The step is skipped if the instance has ended.
func (f *function) change(i *instance, step func(*pool.Pool, time.Time) *pool.Effects) {
	f.do(func(p *pool.Pool, at time.Time) *pool.Effects {
		if i.ended {
			return p.Tick(at)
		}
		return step(p, at)
	})
	f.d.changed(f.name)
}
