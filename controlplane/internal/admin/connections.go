package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections the address has at once. It is far above any use, and leaves descriptors to others.
const maxConnections = 256

// connections closes connections that wait for a request when there are too many, the oldest first.
type connections struct {
	mu      sync.Mutex
	open    int
	waiting list.List // of net.Conn, without a request
	at      map[net.Conn]*list.Element
}

func newConnections() *connections { return &connections{at: make(map[net.Conn]*list.Element)} }

// note is the server's ConnState hook.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[conn]; e != nil {
		c.waiting.Remove(e)
		delete(c.at, conn)
	}
	switch state {
	case http.StateNew:
		c.open++
		c.waitLocked(conn)
	case http.StateIdle:
		c.waitLocked(conn)
	case http.StateClosed, http.StateHijacked:
		c.open--
	}
}

func (c *connections) waitLocked(conn net.Conn) {
	c.at[conn] = c.waiting.PushBack(conn)
	if c.open <= maxConnections {
		return
	}
	oldest := c.waiting.Remove(c.waiting.Front()).(net.Conn)
	delete(c.at, oldest)
	_ = oldest.Close() // the server notes its end
}
