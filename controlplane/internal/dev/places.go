package dev

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/local"
)

// places are where the parts listen, each host:port.
type places struct {
	front, admin              string // people type them
	lambda, relay, envoyAdmin string // chosen free
}

// The ports that are preferred, because people know them.
const (
	frontPort = "8080"
	adminPort = "9900"
)

// choosePlaces holds free ports. A front that was asked for and is taken is an error.
func choosePlaces(held *local.Ports, front string) (p places, err error) {
	if p.front, err = chooseFront(held, front); err != nil {
		return p, err
	}
	if p.admin, err = prefer(held, adminPort); err != nil {
		return p, err
	}
	for _, at := range []*string{&p.lambda, &p.relay, &p.envoyAdmin} {
		if *at, err = held.Claim("", local.AnyPort); err != nil {
			return p, err
		}
	}
	return p, nil
}

func chooseFront(held *local.Ports, front string) (string, error) {
	if front == "" {
		return prefer(held, frontPort)
	}
	host, port, err := net.SplitHostPort(front)
	if err != nil {
		return "", err
	}
	address, err := held.Claim(host, port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", fmt.Errorf("--front: port %s is in use; without --front a free one is chosen", port)
	}
	if err != nil {
		return "", fmt.Errorf("--front: %w", err)
	}
	return address, nil
}

// prefer claims a port, or another one if it is taken.
func prefer(held *local.Ports, port string) (string, error) {
	address, err := held.Claim("", port)
	if errors.Is(err, syscall.EADDRINUSE) {
		return held.Near(port)
	}
	return address, err
}
