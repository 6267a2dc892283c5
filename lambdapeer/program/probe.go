package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/proxy"
)

// A probe asks the app whether it takes requests.
type probe struct {
	what    string // for people: "GET http://127.0.0.1:8080/"
	address string // of the app
	ask     func(context.Context) error
}

// httpProbe succeeds with any answer below 500.
func httpProbe(address, path string, get func(ctx context.Context, path string) (status int, err error)) probe {
	return probe{what: "GET http://" + address + path, address: address, ask: func(ctx context.Context) error {
		status, err := get(ctx, path)
		if err == nil && status >= http.StatusInternalServerError {
			err = statusError(status)
		}
		return err
	}}
}

// tcpProbe succeeds if a connection is accepted.
func tcpProbe(address string) probe {
	return probe{what: "TCP " + address, address: address, ask: func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
}

// A statusError is the status of an answer that is not below 500.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("answered %d", int(e)) }

// silent says what an app did that has not answered.
const silent = "has not answered"

// did says in a sentence what the app did when the probe failed.
func (p probe) did(err error) string {
	var status statusError
	switch {
	case errors.As(err, &status):
		return p.what + " " + status.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.what + ": connection refused" + p.hint()
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return p.what + ": the app closed the connection without an answer"
	case errors.Is(err, proxy.ErrMalformed):
		return p.what + ": the answer is not HTTP"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return p.what + " " + silent
	default:
		return p.what + ": " + err.Error()
	}
}

// hint tells if the app listens on IPv6 only.
func (p probe) hint() string {
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return ""
	}
	there := net.JoinHostPort(net.IPv6loopback.String(), port)
	conn, err := (&net.Dialer{Timeout: hintLimit}).Dial("tcp", there)
	if err != nil {
		return ""
	}
	_ = conn.Close()
	return "; " + there + " accepts connections: the app listens on IPv6 only"
}
