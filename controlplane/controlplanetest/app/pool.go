package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A pool keeps connections to a database, and is as naive about them as many are: one that is idle is taken to be good.
type pool struct {
	mu   sync.Mutex
	idle []net.Conn
}

// query asks the database at ?address= a question, and answers what it says: a line each.
func (p *pool) query(w http.ResponseWriter, r *http.Request) {
	conn, err := p.take(r.Context(), r.URL.Query().Get("address"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	said, err := ask(conn)
	if err != nil {
		_ = conn.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.put(conn)
	_, _ = io.WriteString(w, said)
}

func ask(conn net.Conn) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, "question\n"); err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	said, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	return said, nil
}

func (p *pool) take(ctx context.Context, address string) (net.Conn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		conn := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return conn, nil
	}
	p.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func (p *pool) put(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, conn)
}

// closeIdle is what the app does before it is frozen.
func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.idle {
		_ = conn.Close()
	}
	p.idle = nil
}
