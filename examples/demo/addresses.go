package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// addresses are where the parts of one demo listen, all on loopback.
type addresses struct {
	front, admin, envoyAdmin string // fixed, so that one can type them; changed by variables
	lambda                   string // chosen free, so that two demos can run side by side, unless a variable says where
	relay                    string // chosen free
}

// anyPort lets the kernel pick a free one.
const anyPort = "0"

// A choice is the port of one part.
type choice struct {
	variable, port string
	address        *string // to be filled in
	set            bool    // by the variable
	taken          bool
}

func (a *addresses) choices(getenv func(string) string) []choice {
	list := []choice{
		{variable: "FRONT_PORT", port: "8080", address: &a.front},
		{variable: "ADMIN_PORT", port: "9900", address: &a.admin},
		{variable: "ENVOY_ADMIN_PORT", port: "9901", address: &a.envoyAdmin},
		{variable: "LAMBDA_PORT", port: anyPort, address: &a.lambda},
		{port: anyPort, address: &a.relay},
	}
	for i := range list {
		if port := getenv(list[i].variable); port != "" {
			list[i].port, list[i].set = port, true
		}
	}
	return list
}

// chooseAddresses reads the variables and makes sure that all ports are free; if not, the error names those that are taken,
// and a command that uses others. It holds each port until all are chosen, so that no two are the same.
func chooseAddresses(getenv func(string) string) (a addresses, err error) {
	var held ports
	defer func() { held.release() }()
	list, free := a.choices(getenv), true
	for i, c := range list {
		*c.address, err = held.claim(c.port)
		list[i].taken = errors.Is(err, syscall.EADDRINUSE)
		free = free && !list[i].taken
		if err != nil && !list[i].taken {
			return addresses{}, fmt.Errorf("%s: %w", c.variable, err)
		}
	}
	if !free {
		return addresses{}, held.inUse(list)
	}
	return a, nil
}

// ports are open, so that nobody else takes them.
type ports []net.Listener

func (p *ports) release() {
	for _, l := range *p {
		_ = l.Close()
	}
}

// claim opens a port of loopback and returns its address.
func (p *ports) claim(port string) (string, error) {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("not a port: %q", port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return "", err
	}
	*p = append(*p, l)
	return l.Addr().String(), nil
}

// inUse is the error about what is taken. Its command keeps what was set before.
func (p *ports) inUse(list []choice) error {
	var taken, variables []string
	for _, c := range list {
		port := c.port
		if c.taken {
			taken = append(taken, c.port+" ("+c.variable+")")
			var err error
			if port, err = p.instead(c.port); err != nil {
				return err
			}
		}
		if c.taken || c.set {
			variables = append(variables, c.variable+"="+port)
		}
	}
	return fmt.Errorf("ports in use: %s. On free ones: make demo %s", strings.Join(taken, ", "), strings.Join(variables, " "))
}

// instead finds a free port that looks like one that is taken, if there is one.
func (p *ports) instead(taken string) (string, error) {
	const step, most = 10_000, 1<<16 - 1
	number, err := strconv.Atoi(taken)
	if err != nil {
		return "", err
	}
	for number += step; number <= most; number += step {
		if _, err := p.claim(strconv.Itoa(number)); err == nil {
			return strconv.Itoa(number), nil
		}
	}
	address, err := p.claim(anyPort)
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(address)
	return port, err
}
