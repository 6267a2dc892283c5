package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"sync/atomic"
)

// An app lives as long as its process, which is as long as its Lambda environment: what it keeps lasts over many
// requests.
type app struct {
	environment string
	inFlight    atomic.Int64
	served      atomic.Int64
}

func newApp() *app {
	return &app{environment: cmp.Or(os.Getenv("AWS_LAMBDA_LOG_STREAM_NAME"), rand.Text())}
}

// A reply is every JSON answer of this app.
type reply struct {
	Message     string `json:"message,omitempty"`
	Error       string `json:"error,omitempty"`
	SleptMS     int    `json:"slept_ms,omitempty"`
	Event       int    `json:"event,omitempty"`
	Language    string `json:"language"`
	Environment string `json:"environment"`
	InFlight    int64  `json:"in_flight"` // requests that this environment has in flight, this one included
	Served      int64  `json:"served"`    // requests that it has finished
}

// counted keeps the two counters around a route.
func (a *app) counted(route http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.inFlight.Add(1)
		defer a.served.Add(1)
		defer a.inFlight.Add(-1)
		route(w, r)
	}
}

func (a *app) answer(w http.ResponseWriter, status int, body reply) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(a.json(body), '\n')) // it fails when the client left: nobody to tell
}

func (a *app) json(body reply) []byte {
	body.Language = "go"
	body.Environment, body.InFlight, body.Served = a.environment, a.inFlight.Load(), a.served.Load()
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return text
}
