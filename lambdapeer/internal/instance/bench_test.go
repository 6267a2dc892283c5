package instance_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

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

// BenchmarkBurst measures until 64 connections of Envoy's, opened at once, have a tunnel each. One way to the relay takes
// 20 ms, so that a dial takes 120.
func BenchmarkBurst(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		relay := relaytest.StartTLS(b)
		relay.Delay(20 * time.Millisecond)
		end := start(b, relay, 64, http.HandlerFunc(hello))
		b.StartTimer()
		for range 64 {
			conn, err := relay.Tunnel(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app\r\n\r\n")
		}
		b.StopTimer()
		end()
		relay.Close()
		b.StartTimer()
	}
}

func tunnelled(b *testing.B, relay *relaytest.Relay, handler http.Handler) {
	end := start(b, relay, 10, handler)
	requests(b, relay.Client(b, true), "http://app")
	end()
}

// start returns how to end the instance that it starts.
func start(b *testing.B, relay *relaytest.Relay, slots int, handler http.Handler) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		instance.Serve(ctx, instance.Config{
			Invocation: relaytest.Invocation(slots, relay), Environment: "e", Handler: handler, Logger: slog.New(slog.DiscardHandler),
		})
	}()
	relay.Welcome(b)
	return func() {
		cancel()
		<-done
	}
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
