package instance_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
)

// BenchmarkRequest compares a request over plain HTTP/2 with one over a tunnel, to the same handler.
func BenchmarkRequest(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 128)) })
	b.Run("plain h2c", func(b *testing.B) {
		server := httptest.NewUnstartedServer(handler)
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		defer server.Close()
		transport := &http.Transport{Protocols: server.Config.Protocols}
		defer transport.CloseIdleConnections()
		requests(b, &http.Client{Transport: transport}, server.URL)
	})
	b.Run("tunnel", func(b *testing.B) { tunnelled(b, relaytest.Start(b), handler) })
	b.Run("tunnel with TLS", func(b *testing.B) { tunnelled(b, relaytest.StartTLS(b), handler) })
}

func tunnelled(b *testing.B, relay *relaytest.Relay, handler http.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		instance.Serve(ctx, instance.Config{
			Invocation: relaytest.Invocation(10, relay), Environment: "e", Handler: handler, Logger: slog.New(slog.DiscardHandler),
		})
	}()
	relay.Welcome(b)
	requests(b, relay.Client(b, true), "http://app")
	cancel()
	<-done
}

func requests(b *testing.B, client *http.Client, url string) {
	b.ReportAllocs()
	for b.Loop() {
		res, err := client.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}
