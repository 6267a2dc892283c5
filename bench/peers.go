package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

// peersCommand is the first argument with which the bench starts itself as a child: many peers in one process, which is not measured. The
// second argument is their number. The variables of any peer say where they dial.
const peersCommand = "peers"

var body = []byte(strings.Repeat("lambda-dispatch\n", 8))

// hold answers when the request's body has ended, and its ?ms= after that.
func hold(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
		select {
		case <-time.After(time.Duration(ms) * time.Millisecond):
		case <-r.Context().Done():
		}
	}
	_, _ = w.Write(body)
}

// startsAtOnce limits the peers that start at once. On Lambda each has a CPU of its own for its handshakes.
const startsAtOnce = 50

func runPeers(ctx context.Context, arg string) error {
	count, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, startsAtOnce)
	for range count {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		up := &upHandler{first: sync.OnceFunc(func() { <-places })}
		peer := &lambdapeer.Peer{Handler: http.HandlerFunc(hold), Logger: slog.New(up)}
		all.Go(func() { _ = peer.Run(ctx) })
	}
	return nil
}

// An upHandler is a slog.Handler for a peer that hears of one thing only: its control stream has been welcomed, and a
// tunnel stands.
type upHandler struct {
	first func()
}

// Handle implements slog.Handler.
func (h *upHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "instance up" {
		h.first()
	}
	return nil
}

// Enabled implements slog.Handler.
func (h *upHandler) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (h *upHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h *upHandler) WithGroup(string) slog.Handler { return h }

// startPeers runs many peers of a function in one child and waits until all of them serve.
func (t *through) startPeers(ctx context.Context, l *lab.Lab, function string, count int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := l.Start("peers", environ(t.peerEnv(function)), self, peersCommand, strconv.Itoa(count))
	if err != nil {
		return err
	}
	t.pids[roleApps] = []int{p.PID()}
	return t.awaitReady(ctx, function, count)
}
