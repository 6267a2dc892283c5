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

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

// peersCommand is the first argument of the bench as a child of itself: many peers in one process that is not measured.
// How many says the second argument; where to, the environment that any peer reads.
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

func runPeers(ctx context.Context, arg string) error {
	count, err := strconv.Atoi(arg)
	if err != nil {
		return err
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var all sync.WaitGroup
	for range count {
		peer := &lambdapeer.Peer{Handler: http.HandlerFunc(hold), Logger: quiet}
		all.Go(func() { _ = peer.Run(ctx) })
	}
	all.Wait()
	return nil
}

// startPeers runs many peers of a function in one child and waits until all of them serve.
func (t *through) startPeers(ctx context.Context, l *lab, function string, count int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := l.start("peers", environ(t.peerEnv(function)), self, peersCommand, strconv.Itoa(count))
	if err != nil {
		return err
	}
	t.pids[roleApps] = []int{p.pid()}
	return t.awaitReady(ctx, function, count)
}
