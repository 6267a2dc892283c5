package lambdapeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
)

const (
	// plainDrain is how long requests may take to finish on a plain port.
	plainDrain = 30 * time.Second
	// plainHeader is how long a client may take to send a request's header on a plain port. In tunnels Envoy enforces that.
	plainHeader = 10 * time.Second
)

// listen serves a plain port with HTTP/1.1 and HTTP/2 with prior knowledge, as tunnels do.
func (p *Peer) listen(ctx context.Context, environment string) error {
	address, err := listenAddress(p.Getenv)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	p.Logger.Info("listening", "address", listener.Addr().String())
	server, cut := instance.NewPlainServer(context.Background(), p.Handler, environment, p.Logger)
	defer cut()
	server.ReadHeaderTimeout = plainHeader
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.Background(), plainDrain)
	defer cancel()
	if err := server.Shutdown(draining); err != nil {
		server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func listenAddress(getenv func(string) string) (string, error) {
	host, port := getenv("HOST"), getenv("PORT")
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "8080"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("PORT: %q is not a port number", port)
	}
	return net.JoinHostPort(host, port), nil
}
