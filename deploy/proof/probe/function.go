package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// An order is the event.
type order struct {
	Name string        `json:"name"` // dial the witness under this name, and keep the connection; empty: do not
	Hold time.Duration `json:"hold"` // how long the invocation lasts
	Beat time.Duration `json:"beat"` // how often a line is sent meanwhile; 0: never
	Use  string        `json:"use"`  // read a line of the kept connection, and send this one; empty: do not
}

// A reply is the function's answer.
type reply struct {
	Cold   bool          `json:"cold"`   // no invocation before this one
	Took   time.Duration `json:"took"`   // from the event to this answer
	Dialed time.Duration `json:"dialed"` // of that, to dial
	Read   string        `json:"read"`
	Error  string        `json:"error"`
}

// A function keeps a connection from one invocation to the next.
type function struct {
	conn   net.Conn
	called bool
}

func serveFunction(ctx context.Context) error {
	var f function
	for {
		header, event, err := ask(ctx, "GET", "/2018-06-01/runtime/invocation/next", nil, nil)
		if err != nil {
			return err
		}
		began := time.Now()
		var o order
		if err := json.Unmarshal(event, &o); err != nil {
			return err
		}
		r := reply{Cold: !f.called}
		if err := f.obey(o, &r); err != nil {
			r.Error = err.Error()
		}
		f.called, r.Took = true, time.Since(began)
		path := "/2018-06-01/runtime/invocation/" + header.Get("Lambda-Runtime-Aws-Request-Id") + "/response"
		if _, _, err := ask(ctx, "POST", path, nil, r); err != nil {
			return err
		}
	}
}

func (f *function) obey(o order, r *reply) (err error) {
	if o.Name != "" {
		began := time.Now()
		if f.conn, err = dial(o.Name); err != nil {
			return err
		}
		r.Dialed = time.Since(began)
	}
	if o.Use != "" {
		if err := f.use(o.Use, r); err != nil {
			return err
		}
	}
	began := time.Now()
	for n := 1; o.Beat > 0 && time.Duration(n)*o.Beat < o.Hold; n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * o.Beat)))
		if _, err := fmt.Fprintf(f.conn, "beat %d\n", n); err != nil {
			return err
		}
	}
	time.Sleep(time.Until(began.Add(o.Hold)))
	return nil
}

// use reads a line of the kept connection, and sends one.
func (f *function) use(line string, r *reply) (err error) {
	if err := f.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if r.Read, err = bufio.NewReader(f.conn).ReadString('\n'); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if _, err = fmt.Fprintln(f.conn, line); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
