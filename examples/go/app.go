package main

import (
	"encoding/json"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

// An app lives as long as its process, which is as long as its Lambda environment: what it keeps lasts over many
// requests.
type app struct{ served atomic.Int64 }

// A reply is every JSON answer of this app.
type reply struct {
	Message     string `json:"message,omitempty"`
	Error       string `json:"error,omitempty"`
	SleptMS     int    `json:"slept_ms,omitempty"`
	Event       int    `json:"event,omitempty"`
	Language    string `json:"language"`
	Environment string `json:"environment"`
	InFlight    int    `json:"in_flight"`         // requests that this environment has in flight, this one included
	Served      int64  `json:"served"`            // requests that it has finished
	Version     string `json:"version,omitempty"` // of the function's code, in Lambda
}

func (a *app) counted(route http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		defer a.served.Add(1)
		route(w, r)
	}
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, status int, body reply) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(a.json(r, body), '\n')) // it fails when the client left: nobody to tell
}

func (a *app) json(r *http.Request, body reply) []byte {
	body.Language, body.Served = "go", a.served.Load()
	body.Environment, body.InFlight = lambdapeer.Environment(r.Context()), lambdapeer.InFlight(r.Context())
	body.Version = os.Getenv("AWS_LAMBDA_FUNCTION_VERSION")
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return text
}
