package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A witness accepts connections, each under a name, and remembers what came on them and how they ended. Several connections may have one
// name: their lines are kept together, and the state is that of the last.
type witness struct {
	token string
	mu    sync.Mutex // guards the field below
	seen  map[string]*seen
}

// A seen is what the witness knows of a name.
type seen struct {
	Lines   []line `json:"lines"`
	End     string `json:"end"`     // empty: the connection stands
	Unacked uint32 `json:"unacked"` // segments that were sent, and that the other end's kernel has not acknowledged
	conn    *net.TCPConn
}

type line struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"` // by the witness's clock
}

// serveWitness listens at two addresses: one for those whose connections it watches, one for whoever asks what it saw.
func serveWitness(ctx context.Context) error {
	w := &witness{token: os.Getenv(tokenVar), seen: map[string]*seen{}}
	if len(os.Args) != 3 || len(w.token) < 16 {
		return errors.New("usage: " + tokenVar + "=TOKEN witness ADDRESS ADDRESS")
	}
	watched, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		return err
	}
	asked, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		return err
	}
	fmt.Println(watched.Addr(), asked.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{name}", w.tell)
	mux.HandleFunc("POST /{name}", w.write)
	server := &http.Server{Handler: w.known(mux), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _, _ = watched.Close(), server.Close() })
	go func() { _ = server.Serve(asked) }()
	for {
		conn, err := watched.Accept()
		if err != nil {
			return err
		}
		go w.watch(conn.(*net.TCPConn))
	}
}

// watch reads a connection to its end. The first line is the token and a name.
func (w *witness) watch(conn *net.TCPConn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	from := bufio.NewReader(io.LimitReader(conn, 1<<20))
	first, _ := from.ReadString('\n')
	token, name, _ := strings.Cut(strings.TrimSpace(first), " ")
	if token != w.token || name == "" {
		return
	}
	_, _ = conn.SetReadDeadline(time.Time{}), conn.SetKeepAlive(false) // which would find out that the other end is gone
	w.update(name, func(s *seen) { s.conn, s.End = conn, "" })
	for {
		text, err := from.ReadString('\n')
		if err != nil {
			w.update(name, func(s *seen) {
				if s.conn == conn {
					s.End = endOf(err)
				}
			})
			return
		}
		w.update(name, func(s *seen) { s.Lines = append(s.Lines, line{strings.TrimSpace(text), time.Now().UTC()}) })
	}
}

func (w *witness) update(name string, do func(*seen)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[name] == nil {
		w.seen[name] = &seen{}
	}
	do(w.seen[name])
}

func endOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	default:
		return err.Error()
	}
}

func (w *witness) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+w.token {
			http.Error(out, "the token is missing", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(out, r)
	})
}

func (w *witness) tell(out http.ResponseWriter, r *http.Request) {
	w.update(r.PathValue("name"), func(s *seen) {
		if s.End == "" && s.conn != nil {
			s.Unacked = unacked(s.conn)
		}
		_ = json.NewEncoder(out).Encode(s)
	})
}

// write sends a line on a connection. It does not matter whether the other end is frozen.
func (w *witness) write(_ http.ResponseWriter, r *http.Request) {
	w.update(r.PathValue("name"), func(s *seen) {
		if s.conn != nil {
			_, _ = fmt.Fprintln(s.conn, "line")
		}
	})
}
