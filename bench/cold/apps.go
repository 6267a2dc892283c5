package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

// An app is what requests are sent to.
type app struct {
	name, about string
	share       float64 // of the full rates that this machine can take
	function    lab.Function
	missing     string // why it cannot be measured here
}

// apps in the order of the report.
func (s settings) apps() ([]app, error) {
	program, err := filepath.Abs("build/cold-app")
	if err != nil {
		return nil, err
	}
	sleeps := app{
		name: "go", share: 1,
		about:    fmt.Sprintf("An app that answers in %v and takes %v to start, and does nothing meanwhile", s.Service, s.Init),
		function: lab.Function{Command: []string{program}, Env: fmt.Sprintf("{COLD_INIT: %v}", s.Init)},
	}
	next, err := s.next()
	return []app{sleeps, next}, err
}

// next is a standalone build of Next.js. Its starts compute, and all of them on this machine's cores, so its rates are lower.
func (s settings) next() (app, error) {
	a := app{
		name: "nextjs", share: 0.05,
		about: fmt.Sprintf("A standalone build of Next.js that waits %v for somebody else and renders a page of 200 rows. It says that it is ready %v after "+
			"its start, or later: a start computes for most of a second, and all starts share this machine's cores", s.Service, s.Init),
	}
	server, err := filepath.Abs(filepath.Join(s.Next, ".next/standalone/server.js"))
	if err != nil {
		return a, err
	}
	peer, err := filepath.Abs("build/lambdapeer")
	if err != nil {
		return a, err
	}
	if _, err := os.Stat(server); s.Next == "" || err != nil {
		a.missing = "there is no build of it, which needs npm and its registry"
	}
	node, err := exec.LookPath("node")
	if err != nil {
		a.missing = "no node here"
	}
	a.function = lab.Function{
		Command: []string{node, server}, Beside: peer,
		Env: fmt.Sprintf(`{COLD_INIT_MS: "%d", HOSTNAME: 127.0.0.1, NEXT_TELEMETRY_DISABLED: "1"}`, s.Init.Milliseconds()),
	}
	return a, nil
}
