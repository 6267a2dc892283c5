package main

import (
	"fmt"
	"net"
	"strconv"
)

// addresses are where the parts of one demo listen, all on loopback.
type addresses struct {
	front, admin, envoyAdmin string // fixed, so that one can type them; changed by variables
	relay, lambda            string // chosen free, so that two demos can run side by side
}

// chooseAddresses reads the variables and makes sure, with one clear line if not, that all is free.
func chooseAddresses(getenv func(string) string) (a addresses, err error) {
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

// claim checks that a port is free and returns its address. Port 0 picks one.
func claim(variable, port string) (string, error) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 && variable != "" {
		return "", fmt.Errorf("%s: not a port: %q", variable, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return "", fmt.Errorf("port %s is in use: set %s to another one (make demo %s=...)", port, variable, variable)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
