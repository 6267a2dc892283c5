package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

// addresses are where the parts of one demo listen, all on loopback.
type addresses struct {
	front, admin, envoyAdmin string // fixed, so that one can type them; changed by variables
	lambda                   string // chosen free, so that two demos can run side by side, unless a variable says where
	relay                    string // chosen free
}

const anyPort = local.AnyPort

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

// chooseAddresses reads the variables and holds the ports, if all are free; if not, the error names those that are taken,
// and a command that uses others.
func chooseAddresses(held *local.Ports, getenv func(string) string) (a addresses, err error) {
	list, free := a.choices(getenv), true
	for i, c := range list {
		*c.address, err = claim(held, c.port)
		list[i].taken = errors.Is(err, syscall.EADDRINUSE)
		free = free && !list[i].taken
		if err != nil && !list[i].taken {
			return addresses{}, fmt.Errorf("%s: %w", c.variable, err)
		}
	}
	if !free {
		return addresses{}, inUse(held, list)
	}
	return a, nil
}

// claim holds a port of loopback and returns its address.
func claim(held *local.Ports, port string) (string, error) {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("not a port: %q", port)
	}
	return held.Claim("", port)
}

// inUse is the error about what is taken. Its command keeps what was set before.
func inUse(held *local.Ports, list []choice) error {
	var taken, variables []string
	for _, c := range list {
		port := c.port
		if c.taken {
			taken = append(taken, c.port+" ("+c.variable+")")
			other, err := held.Near(c.port)
			if err != nil {
				return err
			}
			_, port, _ = net.SplitHostPort(other)
		}
		if c.taken || c.set {
			variables = append(variables, c.variable+"="+port)
		}
	}
	return fmt.Errorf("ports in use: %s. On free ones: make demo %s", strings.Join(taken, ", "), strings.Join(variables, " "))
}
