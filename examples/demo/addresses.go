package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// addresses are where the parts of one demo listen, all on loopback.
type addresses struct {
	front, admin, envoyAdmin string // fixed, so that one can type them; changed by variables
	lambda                   string // chosen free, so that two demos can run side by side, unless a variable says where
	relay                    string // chosen free
}

// chooseAddresses reads the variables and makes sure, with one clear line if not, that all is free. It holds each port
// until all are chosen, so that no two are the same.
func chooseAddresses(getenv func(string) string) (a addresses, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, part := range []struct {
		variable, port string
		address        *string
	}{
		{"FRONT_PORT", "8080", &a.front},
		{"ADMIN_PORT", "9900", &a.admin},
		{"ENVOY_ADMIN_PORT", "9901", &a.envoyAdmin},
		{"LAMBDA_PORT", anyPort, &a.lambda},
		{"", anyPort, &a.relay},
	} {
		if port := getenv(part.variable); port != "" {
			part.port = port
		}
		l, err := claim(part.variable, part.port)
		if err != nil {
			return addresses{}, err
		}
		held = append(held, l)
		*part.address = l.Addr().String()
	}
	return a, nil
}

// anyPort lets the kernel pick a free one.
const anyPort = "0"

// claim opens a port of loopback.
func claim(variable, port string) (net.Listener, error) {
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("%s: not a port: %q", variable, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EADDRINUSE) && variable != "" {
		return nil, fmt.Errorf("port %s is in use: choose another one with make demo %s=PORT", port, variable)
	}
	return l, err
}
