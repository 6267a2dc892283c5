package local

import (
	"errors"
	"net"
	"strconv"
	"syscall"
)

// AnyPort lets the kernel pick a free one.
const AnyPort = "0"

// Ports are ports of loopback, or of another host, each of which one part of one stack listens on. Nobody else who chooses ports here
// gets one that is held, whether or not its part listens yet; programs of others may. The zero value holds none.
type Ports struct{ held []net.Listener }

// Release gives all of them free.
func (p *Ports) Release() {
	for _, l := range p.held {
		_ = l.Close()
	}
	p.held = nil
}

// Claim holds a port of a host, 127.0.0.1 if it is empty, on which nobody listens, and returns its address.
func (p *Ports) Claim(host, port string) (string, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", err
	}
	defer l.Close() // its part is to listen there
	_, number, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	// An abstract socket has a name in the network of this host, no file, and goes with the process.
	name, err := net.Listen("unix", "@lambda-dispatch/port/"+number)
	if errors.Is(err, syscall.EADDRINUSE) && port == AnyPort {
		return p.Claim(host, port)
	}
	if err != nil {
		return "", err
	}
	p.held = append(p.held, name)
	return l.Addr().String(), nil
}

// Near claims a free port of loopback that looks like one that is taken, if there is one, and returns its address.
func (p *Ports) Near(taken string) (string, error) {
	const step, most = 10_000, 1<<16 - 1
	number, err := strconv.Atoi(taken)
	if err != nil {
		return "", err
	}
	for number += step; number <= most; number += step {
		if address, err := p.Claim("", strconv.Itoa(number)); err == nil {
			return address, nil
		}
	}
	return p.Claim("", AnyPort)
}
