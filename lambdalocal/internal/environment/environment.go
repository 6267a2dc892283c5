// Package environment is one of Lambda's execution environments: the function's processes, the Runtime, Extensions and
// Telemetry APIs that they call, and their life of init, invoke, freeze and shutdown.
//
// An environment decides nothing: its owner, one goroutine, says when to start, invoke, freeze and shut down.
package environment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/process"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

var errInitTimeout = errors.New("init phase timed out")

// A timeoutError ends an invocation that has used its time.
type timeoutError struct{ after time.Duration }

func (t timeoutError) Error() string {
	return fmt.Sprintf("Task timed out after %.2f seconds", t.after.Seconds())
}

func isTimeout(err error) bool { return errors.As(err, new(timeoutError)) }

// A Reason of a shutdown, as extensions learn it.
type Reason string

// The reasons.
const (
	Spindown Reason = "spindown" // idle for long, or told to end
	Timeout  Reason = "timeout"
	Failed   Reason = "failure"
)

// A Config is what the environments of one function have in common.
type Config struct {
	Function   string
	Version    string // of the function's code
	Region     string
	Account    string
	Handler    string
	Command    []string
	Extensions []Extension
	Processes  [][]string // argument lists of programs beside the command that call none of the APIs
	Dir        string
	Env        map[string]string // {port} in a value, or in an argument, becomes the environment's port
	MemoryMB   int
	TempMB     int // the size of /tmp, where the environment has its own
	// EnforceMemory kills the processes when they hold more than MemoryMB together. Where nothing counts their memory it is
	// measured process by process.
	EnforceMemory bool
	Timeout       time.Duration // of one invocation
	InitLimit     time.Duration // of the init phase of an environment on demand, before it is tried again inside the first invocation
	// Enclose makes the surroundings of an environment that is configured so, once. Nil: it shares the machine's.
	Enclose func(cfg *Config, id string) (Enclosure, error)
	// Confine limits what the processes of an environment may use together, once. Nil: they are not limited.
	Confine func(cfg *Config, id string) (Confinement, error)
	Limits  process.Limits // of each process
	// Concurrency is how many invocations an environment serves at once, by Serve, on Managed Instances. 0: one at a time, by
	// Invoke, and its processes are frozen in between.
	Concurrency int
	// Provisioned environments are initialised ahead: no invocation pays for it.
	Provisioned bool
	Log         logrus.FieldLogger
}

// ARN names the function, with a version or alias unless that is empty.
func (c *Config) ARN(qualifier string) string {
	arn := "arn:aws:lambda:" + c.Region + ":" + c.Account + ":function:" + c.Function
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// initAhead is how long the init phase may take at least where no invocation waits for it. Source: "Understanding the Lambda
// execution environment lifecycle" in the Lambda developer guide.
const initAhead = 130 * time.Second

// initLimit bounds the init phase.
func (c *Config) initLimit() time.Duration {
	if c.Provisioned || c.Managed() {
		return max(initAhead, min(c.Timeout, MaxTimeout))
	}
	return c.InitLimit
}

// An Enclosure is surroundings in which an environment's processes see no others: sandbox.TaskRoot is their folder, and they call
// the APIs at sandbox.RuntimeAPI.
type Enclosure interface {
	// Enter moves the calling thread in, for good.
	Enter() error
	// Listen and Dial are net's, of TCP, inside.
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
	// Close is called when all processes have ended.
	Close()
}

// A Confinement limits what processes use together. Its methods may be called from any goroutine.
type Confinement interface {
	// Folder is a control group's, in which processes are to begin. Nil: there is none.
	Folder() *os.File
	// Within runs start on the calling thread, such that what start begins is within the limits, and with it what that starts.
	Within(start func() error) error
	// Freeze, Thaw and Kill reach all processes, also those that have left the one that started them.
	Freeze()
	Thaw()
	Kill()
	// Memory is what they hold in bytes; false if nobody counts it.
	Memory() (int64, bool)
	// OutOfMemory says whether the kernel has killed one of them for want of memory since it was asked last.
	OutOfMemory() bool
	// Close is called when all processes have ended.
	Close()
}

// An Extension is a program that registers as an external extension.
type Extension struct {
	Name string // under which it registers
	Argv []string
}

// An Environment runs one invocation at a time, or on Managed Instances several. ID, Served, PIDs, Kill, Serve, Free and CPU may be
// called from any goroutine, all else only by the owner.
type Environment struct {
	id     string
	token  string // of the metadata endpoint
	cfg    *Config
	port   int
	log    logrus.FieldLogger
	tail   tail
	output tail // of the processes alone, since their start
	served atomic.Int64

	// Of the owner.
	cold   bool          // no invocation has ended yet
	init   time.Duration // how long the init phase took; reported with the first invocation
	memory int64         // peak, in bytes
	warned *Failure      // the last one that the log knows
	inside Enclosure     // nil: none yet, or none at all
	limits Confinement   // nil: none yet, or none at all

	broken chan struct{} // closed by Kill

	mu     sync.Mutex
	boot   *boot // nil: not started, init failed, or shut down
	killed bool
}

// New returns an environment that has not started. Port is a free port of this machine, for the function's own use.
func New(cfg *Config, id string, port int) *Environment {
	return &Environment{
		id: id, token: uuid.New(), cfg: cfg, port: port, cold: !cfg.Provisioned, broken: make(chan struct{}),
		log: cfg.Log.WithFields(logrus.Fields{"function": cfg.Function, "environment": id}),
	}
}

// ID names the environment among all.
func (e *Environment) ID() string { return e.id }

// Port is the free port of this machine that is the function's own.
func (e *Environment) Port() int { return e.port }

// Served counts the invocations that ended.
func (e *Environment) Served() int { return int(e.served.Load()) }

// PIDs are the leaders of the environment's process groups: the extensions first, the command last.
func (e *Environment) PIDs() []int {
	if b := e.current(); b != nil {
		return b.pids()
	}
	return nil
}

// Init starts the processes and waits until they have asked for the first event. An init that fails or takes too long is
// shut down here, so that extensions hear of it; Invoke then tries once more, as Lambda does.
func (e *Environment) Init(ctx context.Context) {
	if e.enclose() != nil {
		return // Invoke tries again, and reports it
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.cfg.initLimit(), errInitTimeout)
	defer cancel()
	began := time.Now()
	if err := e.start(ctx, "init"); err != nil {
		f := e.asFailure(err)
		e.reportInit("init", time.Since(began), err)
		e.warn("init failed", f)
		e.Shutdown(f.reason())
		return
	}
	e.init = time.Since(began)
}

// start boots the processes and waits until they are ready. A failed boot is left for the owner to stop. The phase is
// "init", or "invoke" inside an invocation.
func (e *Environment) start(ctx context.Context, phase string) error {
	if err := e.enclose(); err != nil {
		return err
	}
	b, err := newBoot(e)
	if err != nil {
		return err
	}
	e.output.take() // what earlier processes left
	e.mu.Lock()
	e.boot = b
	killed := e.killed
	e.mu.Unlock()
	if killed {
		b.kill()
	}
	return b.init(ctx, phase)
}

// enclose makes the surroundings and the limits, unless there are some: they outlast the processes.
func (e *Environment) enclose() error {
	if e.inside == nil && e.cfg.Enclose != nil {
		inside, err := e.cfg.Enclose(e.cfg, e.id)
		if err != nil {
			return sandboxFailed(err)
		}
		e.inside = inside
	}
	if e.limits == nil && e.cfg.Confine != nil {
		limits, err := e.cfg.Confine(e.cfg, e.id)
		if err != nil {
			return sandboxFailed(err)
		}
		e.limits = limits
	}
	return nil
}

// Close gives the surroundings back. Shutdown must come first, and nothing may follow.
func (e *Environment) Close() {
	if e.limits != nil {
		e.limits.Close()
	}
	if e.inside != nil {
		e.inside.Close()
	}
}

// Alive tells whether the environment can take another invocation. Once Init has returned, an environment without processes
// can: they are started inside the invocation.
func (e *Environment) Alive() bool {
	e.mu.Lock()
	b, killed := e.boot, e.killed
	e.mu.Unlock()
	return !killed && (b == nil || b.failure() == nil)
}

// Failed is closed when the environment stops being Alive. It may be another one after each Init, Invoke and Shutdown.
func (e *Environment) Failed() <-chan struct{} {
	if b := e.current(); b != nil {
		return b.dead
	}
	return e.broken
}

// Freeze stops the environment's processes until Thaw.
func (e *Environment) Freeze() {
	if b := e.current(); b != nil {
		b.freeze()
	}
}

// Thaw ends a Freeze.
func (e *Environment) Thaw() {
	if b := e.current(); b != nil {
		b.thaw()
	}
}

// Kill kills every process, as if the host had failed, and for good. The owner sees it as a failure.
func (e *Environment) Kill() {
	e.mu.Lock()
	if !e.killed {
		close(e.broken)
	}
	e.killed = true
	b := e.boot
	e.mu.Unlock()
	if b != nil {
		b.kill()
	}
}

// Shutdown asks the command to end, then tells the extensions why, kills what is left when the grace time is over, and returns
// when every process and goroutine of the environment has ended. The kernel closes their connections (assumed: socket-kill).
// Afterwards the environment may be invoked again.
func (e *Environment) Shutdown(reason Reason) {
	if b := e.current(); b != nil {
		if f := b.failure(); f != nil {
			e.warn("environment failed", f)
		}
		b.shutdown(reason)
	}
	e.stop()
}

// stop kills what is left of the boot and waits for its end.
func (e *Environment) stop() {
	e.mu.Lock()
	b := e.boot
	e.boot = nil
	e.mu.Unlock()
	if b != nil {
		b.stop()
	}
}

func (e *Environment) current() *boot {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.boot
}

// line takes one line of output, or of Lambda's own log.
func (e *Environment) line(source, text string) {
	e.tail.add(text)
	e.log.WithField("source", source).Debug(text)
}
