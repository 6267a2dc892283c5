package local

import (
	"net"
	"strconv"
)

// AnyPort lets the kernel pick a free one.
const AnyPort = "0"

// Ports are ports of loopback that are held, so that no two parts get the same one, until the parts start. The zero value
// holds none.
type Ports struct{ held []net.Listener }

// Release gives all of them free.
func (p *Ports) Release() {
	for _, l := range p.held {
		_ = l.Close()
	}
	p.held = nil
}

// Claim opens a port of a host, 127.0.0.1 if it is empty, and returns its address.
func (p *Ports) Claim(host, port string) (string, error) {
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return "", err
	}
	p.held = append(p.held, l)
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
