package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/files"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/identity"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/kept"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/pause"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relay"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/trust"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/uplink"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Files in the state directory, beside the sockets, for the next process.
const (
	tokenKeyFile  = "token.key"  // makes and checks instances' tokens
	relayCAFile   = "relay.ca"   // vouches for the relay's certificate
	relayTermFile = "relay.term" // the highest term that the relay has seen
	relayNameFile = "relay.name" // the name by which control planes know the relay
	relayBookFile = "relay.book" // what the relay knows of its instances
)

// A RelayServer is the relay as a process of its own. Control planes come and go; it holds tunnels and sockets, and keeps what is
// known of each instance for the leader.
type RelayServer struct {
	config  *Config   // of the start: for keys that need a restart
	reloads *reloader // has the one that holds
	log     logrus.FieldLogger
	outside *outside
	part    part
	name    string
	relay   *relay.Relay
	uplink  *uplink.Relay
	book    *kept.Book
	care    *caretaker
	admin   *admin.Server // nil: there is none
}

// NewRelay opens the relay's port and takes the endpoints' directory; after an error nothing stays open. Nothing is served
// before Run, which must follow. A relay before this one that is about to end is waited for, at most until ctx ends.
func NewRelay(ctx context.Context, cfg *Config, log logrus.FieldLogger) (*RelayServer, error) {
	if !cfg.Relay.Apart {
		return nil, errors.New("relay.apart: is false, so the relay runs within the control plane")
	}
	s := &RelayServer{config: cfg, log: log.WithField("component", "relay")}
	s.reloads = newReloader(cfg, s.reconfigure, log)
	err := makeStateDir(cfg.StateDir, s.log)
	if err != nil {
		return nil, err
	}
	if s.outside, err = readRelayFiles(cfg, log); err != nil {
		return nil, err
	}
	if err = s.enlist(); err != nil {
		return nil, err
	}
	if s.outside.advertise, err = advertise(ctx, cfg.Relay); err != nil {
		return nil, err
	}
	if s.uplink, err = s.newUplink(log); err != nil {
		return nil, err
	}
	s.care = newCaretaker(cfg, log)
	before := &succession{dir: cfg.StateDir, patience: lastSteps, log: s.log}
	if err = before.open(ctx, func() error { return s.openRelay(log) }); err == nil {
		err = s.openBeside(ctx, before, log)
	}
	if err == nil {
		s.uplink.Connect(overheard{s.relay, s.care.dispatcher})
		s.book, err = remember(cfg.StateDir, s.uplink)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// close closes what NewRelay opened before it failed.
func (s *RelayServer) close() error {
	errs := []error{s.care.close()}
	if s.relay != nil {
		errs = append(errs, closeOnly(s.relay.Run))
	}
	if s.admin != nil {
		errs = append(errs, closeOnly(s.admin.Run))
	}
	return errors.Join(errs...)
}

// remember takes over the instances of the relay's former process, which has ended by now.
func remember(dir string, by *uplink.Relay) (*kept.Book, error) {
	book, before, err := kept.Open(filepath.Join(dir, relayBookFile), time.Now())
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	by.Remember(book, before)
	return book, nil
}

// Follow makes the server read the configuration again when its file changes, and when Reload is called. It is called before Run.
func (s *RelayServer) Follow(source Source) { s.reloads.source = source }

// Reload reads the configuration again now. The log has the result, and why it was read.
func (s *RelayServer) Reload(why string) { s.reloads.Reload(why) }

// reconfigure replaces the configuration in force by another valid one. All keys of the relay itself need a restart; the caretaker
// learns which functions there are.
func (s *RelayServer) reconfigure(cfg *Config) error {
	s.care.dispatcher.Configure(undecided(cfg))
	return nil
}

// openBeside opens what stands beside the relay, whose directory is this process's by now.
func (s *RelayServer) openBeside(ctx context.Context, before *succession, log logrus.FieldLogger) error {
	if s.keepsPair() {
		if err := s.issuePair(s.part.secrets()); err != nil {
			return fmt.Errorf("the files of the Envoy beside this relay: %w", err)
		}
	}
	if err := s.care.open(s.config); err != nil || s.config.Relay.Admin == "" {
		return err
	}
	return before.open(ctx, func() (err error) {
		s.admin, err = s.openAdmin(log)
		return err
	})
}

// enlist makes the relay a part of its cell. It keeps its first name: a container that is made anew has another host's name, and is
// the same relay. The configuration, or a certificate of the operator's, gives it one.
func (s *RelayServer) enlist() (err error) {
	if s.name = s.config.Relay.Name; s.name == "" {
		name, err := files.Once(filepath.Join(s.config.StateDir, relayNameFile), hostname)
		if err != nil {
			return fmt.Errorf("the relay's name: %w", err)
		}
		s.name = strings.TrimSpace(string(name))
	}
	if s.part, err = s.outside.readPart(s.config, identity.Relay, s.name); err != nil {
		return err
	}
	if s.part.source != nil {
		s.name = s.part.source().ID.Name
	}
	return nil
}

// dials are the ways to control planes.
func (s *RelayServer) dials() (map[string]uplink.Dial, error) {
	cell := s.config.Cell
	if !cell.Split() {
		socket := filepath.Join(s.config.StateDir, controlSocket)
		return map[string]uplink.Dial{socket: uplink.To(socket, trust.Socket())}, nil
	}
	if len(cell.ControlPlanes) == 0 {
		return nil, errors.New("cell.control_planes: must be set, because control planes listen on cell.address")
	}
	dials := map[string]uplink.Dial{}
	for _, address := range cell.ControlPlanes {
		dials[address] = uplink.To(address, s.part.client())
	}
	return dials, nil
}

func (s *RelayServer) newUplink(log logrus.FieldLogger) (*uplink.Relay, error) {
	dir := s.config.StateDir
	term, err := readTerm(filepath.Join(dir, relayTermFile))
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	dials, err := s.dials()
	if err != nil {
		return nil, err
	}
	return uplink.NewRelay(uplink.Options{
		Hello: tables.Hello{Relay: s.name, Boot: newBoot(), Sockets: socketDir(s.config), Build: Version()},
		Dial:  func() []wire.Relay { return []wire.Relay{s.relay.Advertised()} },
		Dials: dials,
		Wrong: s.part.wrong,
		Term:  term,
		Seen: func(term uint64) error {
			return files.Replace(filepath.Join(dir, relayTermFile), []byte(strconv.FormatUint(term, 10)+"\n"))
		},
		Log: log,
	}), nil
}

// newBoot returns a name for this process that no other process has.
func newBoot() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func readTerm(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	term, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: holds no number; remove it if no older control plane can still run", file)
	}
	return term, nil
}

func (s *RelayServer) openRelay(log logrus.FieldLogger) error {
	c := relayConfig(s.config, s.outside, s.part.key)
	c.CAFile, c.Settled = filepath.Join(s.config.StateDir, relayCAFile), s.uplink.Settled
	var err error
	s.relay, err = relay.New(c, both{s.uplink, s.care.dispatcher}, log)
	return err
}

func (s *RelayServer) openAdmin(log logrus.FieldLogger) (*admin.Server, error) {
	return admin.New(admin.Options{
		Address: s.config.Relay.Admin, Hosts: s.config.Admin.Hosts, Ready: s.ready, Version: Version(), Log: log,
		Relay:    func() admin.RelayStatus { return relayStatus(s.relay) },
		Token:    s.outside.admin,
		Files:    func() admin.FilesStatus { return s.reloads.refused(s.outside.status()) },
		Reloader: s.reloads,
		Uplink:   s.status,
	})
}

// led tells whether a control plane leads.
func (s *RelayServer) led() bool {
	u := s.uplink.Status()
	return u.Attached && u.Settled
}

func (s *RelayServer) status() admin.UplinkStatus {
	u := s.uplink.Status()
	return admin.UplinkStatus{Term: u.Term, Attached: u.Attached, Instances: u.Kept, Untold: u.Ended, Unheard: u.Unheard, Unkept: u.Unkept}
}

// ready: a relay still serves while no control plane leads, but it must have been told once whom to expect.
func (s *RelayServer) ready() admin.Readiness {
	u := s.uplink.Status()
	if u.Settled || u.Attached {
		return admin.Readiness{}
	}
	reason := "no control plane leads, and none has said yet whom to expect"
	for _, address := range slices.Sorted(maps.Keys(u.Unheard)) {
		reason += fmt.Sprintf("; %s: %s", address, u.Unheard[address])
	}
	return admin.Readiness{Reason: reason}
}

// lastWord is how long the relay waits, at its end, until the leader knows what has happened to its instances.
const lastWord = time.Second

// Run serves until ctx ends or a part fails, and returns when all that it started has ended.
//
// The order at the end: first Envoy stops asking the caretaker; then the streams end, so that the leader sends no more requests
// here; then requests in flight end, within limits; then the relay, with every tunnel; at last the admin address.
func (s *RelayServer) Run(ctx context.Context) error {
	parts := newGroup()
	stopAdmin := func() {}
	if s.admin != nil {
		stopAdmin = parts.run("admin", s.admin.Run)
	}
	stopFiles := parts.run("files", s.outside.watch.Run)
	stopReloads := parts.run("configuration", s.reloads.Run)
	stopUplink := parts.run("uplink", s.uplink.Run)
	stopRelay := parts.run("relay", s.relay.Run)
	stopPair := func() {}
	if s.keepsPair() {
		stopPair = parts.run("pair", s.keepPair)
	}
	stopTracing := parts.run("tracing", s.care.tracer.Run)
	stopCare := parts.run("caretaker", func(ctx context.Context) error {
		return s.care.run(ctx, s.reloads.current, s.led)
	})
	if ctx.Err() == nil {
		s.announce()
	}
	select {
	case <-ctx.Done():
	case <-parts.failed:
	}
	s.log.Info("relay stops: its tunnels end")
	stopReloads()
	stopCare()
	stopPair()
	stopTracing()
	s.sayGoodbye()
	stopUplink()
	s.finish()
	stopRelay()
	stopFiles()
	stopAdmin()
	return errors.Join(parts.wait(), s.book.Close())
}

func (s *RelayServer) sayGoodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWord)
	defer cancel()
	s.uplink.Flush(ctx)
}

// How long the relay stays for what is in flight when nothing is sent to it any more: until all peers have said that it has
// ended, of which they hear and tell within the first of these times, and no longer than the second, for others wait meanwhile.
const (
	heardWithin  = 200 * time.Millisecond
	finishWithin = time.Second
)

func (s *RelayServer) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	for wait := heardWithin; pause.For(ctx, wait) && s.uplink.Status().InFlight > 0; wait = heardWithin / 10 {
	}
}

func (s *RelayServer) announce() {
	s.log.WithField("relay", s.RelayAddr()).Info("relay runs")
	if s.config.Relay.TLS == config.RelayTLSOff && beyondLoopback(s.RelayAddr()) {
		s.log.WithField("relay", s.RelayAddr()).Warn("relay.tls is off: requests and tokens cross the network unencrypted")
	}
}

// RelayAddr is where the relay listens, host:port.
func (s *RelayServer) RelayAddr() string { return s.relay.Addr().String() }

// AdminAddr is the admin address, host:port; empty: there is none.
func (s *RelayServer) AdminAddr() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Address()
}
