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
	relay, lambda            string // chosen free, so that two demos can run side by side
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
	claim := func(variable, port string) (string, error) {
		l, err := claim(variable, port)
		if err != nil {
			return "", err
		}
		held = append(held, l)
		return l.Addr().String(), nil
	}
	for _, fixed := range []struct {
		variable, port string
		address        *string
	}{
		{"FRONT_PORT", "8080", &a.front},
		{"ADMIN_PORT", "9900", &a.admin},
		{"ENVOY_ADMIN_PORT", "9901", &a.envoyAdmin},
	} {
		if port := getenv(fixed.variable); port != "" {
			fixed.port = port
		}
		if *fixed.address, err = claim(fixed.variable, fixed.port); err != nil {
			return addresses{}, err
		}
	}
	for _, free := range []*string{&a.relay, &a.lambda} {
		if *free, err = claim("", "0"); err != nil {
			return addresses{}, err
		}
	}
	return a, nil
}

// claim opens a port of loopback. Port 0 picks a free one.
func claim(variable, port string) (net.Listener, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && variable != "" {
		return nil, fmt.Errorf("%s: not a port: %q", variable, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EADDRINUSE) && variable != "" {
		return nil, fmt.Errorf("port %s is in use: choose another one with make demo %s=PORT", port, variable)
	}
	return l, err
}
