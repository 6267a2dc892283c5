// Package dev runs somebody's app behind everything on one machine, and takes a new version of it into service whenever a file
// has changed.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin/client"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// Options say what is run.
type Options struct {
	Program string     // the path of lambda-dispatch
	Command []string   // the app and its arguments, in Dir
	Dir     string     // the app's folder, which is watched
	Environ []string   // the app gets it, but for what Lambda sets itself
	Outputs []*os.File // what is printed goes there; such a file is not watched

	Port        int           // where the app listens; 0: it is told a free port, in PORT
	Front       string        // host:port for clients; empty: 127.0.0.1:8080, or another port if that is taken
	Concurrency int           // requests that one instance serves at once
	Min, Max    int           // instances
	ColdStart   time.Duration // of a new environment, before the app is started
	MemoryMB    int           // of an instance, for the bill
	Reload      bool          // when files change
	Verbose     bool          // everything is logged
}

// Run runs the app until ctx ends or nobody reads out any more, which is no error, or something fails that cannot mend itself. When
// force ends, requests in flight are cut off.
func Run(ctx, force context.Context, o Options, out io.Writer) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if err := o.findProgram(); err != nil {
		return err
	}
	binary, err := findEnvoy(ctx, out)
	if ctx.Err() != nil { // what the user wanted, while it was fetched
		return nil
	}
	if err != nil {
		return err
	}
	s := &session{Options: o, say: &printer{out: readers{out, end}}, envoy: binary, folder: o.folder()}
	for range placesTried {
		err = s.attempt(ctx, force)
		if ctx.Err() != nil { // what the user wanted
			return nil
		}
		if !taken(err) {
			break
		}
	}
	return err
}

// folder is the app's folder, and which files in it are our own.
func (o Options) folder() folder {
	f := folder{dir: o.Dir}
	for _, output := range o.Outputs {
		if info, err := output.Stat(); err == nil {
			f.ours = append(f.ours, info)
		}
	}
	return f
}

// placesTried is how often ports are chosen: between the choice and the start another program may take one of them.
const placesTried = 3

// taken recognises, in the words of a part that has ended, that it could not listen.
func taken(err error) bool {
	return err != nil && strings.Contains(err.Error(), "address already in use")
}

func (s *session) attempt(ctx, force context.Context) (err error) {
	var held local.Ports
	defer held.Release()
	if s.places, err = choosePlaces(&held, s.Front); err != nil {
		return err
	}
	if s.dir, err = local.MakeDir(); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	return s.run(ctx, force)
}

// findProgram fails where no environment could start the app.
func (o Options) findProgram() error {
	program := o.Command[0]
	if strings.ContainsRune(program, filepath.Separator) {
		if !filepath.IsAbs(program) {
			program = filepath.Join(o.Dir, program)
		}
		_, err := exec.LookPath(program)
		return err
	}
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if strings.ContainsAny(program, shellSigns) {
		return fmt.Errorf("there is no program %q on the PATH; a line for a shell is written: -- sh -c '%s'", program, strings.Join(o.Command, " "))
	}
	return fmt.Errorf("there is no program %q on the PATH", program)
}

// shellSigns are in what was meant for a shell, and hardly in a program's name.
const shellSigns = " \t\n|&;<>$="

// findEnvoy fetches Envoy where there is none.
func findEnvoy(ctx context.Context, out io.Writer) (string, error) {
	binary, err := envoy.Find(ctx)
	if !errors.Is(err, envoy.ErrNotFound) {
		return binary, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return envoy.Fetch(ctx, filepath.Join(cache, "lambda-dispatch"), envoy.Version, out)
}

// A session is one run.
type session struct {
	Options
	folder  folder
	places  places
	say     *printer
	envoy   string // the path of Envoy
	dir     string // of configurations and sockets
	lambda  lambda
	admin   client.Client
	crashes crashes
	repeats repeats // of the goroutine that watches
}

func (s *session) run(ctx, force context.Context) error {
	lambdalocal, controlPlane, err := s.configurations()
	if err != nil {
		return err
	}
	s.lambda, s.admin = lambda{s.places.lambda}, client.Client{Address: s.places.admin}
	s.say.line("starting %s", strings.Join(s.Command, " "))
	var served map[string]stamp
	stack, err := local.Start(ctx, local.Options{
		Program: s.Program, Envoy: s.envoy, Dir: s.dir,
		Lambda: s.places.lambda, Admin: s.places.admin, Relay: s.places.relay, EnvoyAdmin: s.places.envoyAdmin,
		Lambdalocal: lambdalocal, ControlPlane: controlPlane, ControlPlaneSet: []string{"log.format=json"},
		LambdalocalLog:  newLog(s.fromLambdalocal),
		ControlPlaneLog: newLog(s.fromControlPlane),
		Prepare: func(ctx context.Context) error {
			served = s.folder.look() // before the copy: what is saved from now on is another version's
			return s.lambda.begin(ctx)
		},
	})
	if err != nil {
		return err
	}
	defer stack.Stop(force)
	defer s.goodbye(ctx)
	background, end := context.WithCancel(ctx)
	defer end()
	go s.follow(background)
	if s.Reload {
		go s.folder.watch(background, served, s.changed)
	}
	return stack.Failed(ctx)
}

func (s *session) goodbye(ctx context.Context) {
	if ctx.Err() != nil {
		s.say.line("stopping: requests in flight may finish; Ctrl-C again cuts them off")
	}
}
