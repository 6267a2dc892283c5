package environment

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The range lies below the ports that Linux gives to outgoing connections, so none of these can take one meanwhile.
const (
	firstPort = 12000
	lastPort  = 31999
)

// Ports gives each environment a port of its own: in Lambda every environment has all ports for itself. Its zero value is
// ready to use.
type Ports struct {
	mu   sync.Mutex
	used map[int]bool
	last int
}

// Take returns a port that nobody listens on, to be given back with the release function, which is harmless twice.
func (p *Ports) Take() (port int, release func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == nil {
		p.used = map[int]bool{}
		p.last = firstPort + rand.IntN(lastPort-firstPort) // apart from other servers on the machine
	}
	for range lastPort - firstPort + 1 {
		p.last++
		if p.last > lastPort {
			p.last = firstPort
		}
		if port := p.last; !p.used[port] && free(port) {
			p.used[port] = true
			return port, sync.OnceFunc(func() { p.release(port) }), nil
		}
	}
	return 0, nil, errors.New("no free port for a new environment")
}

func (p *Ports) release(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, port)
}

func free(port int) bool {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
