// Command app is a web app that is slow to start: its init takes as long as COLD_INIT says, as that of a large framework may.
// It answers /sleep?ms=N after N milliseconds, and says which environment answered.
package main

import (
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/arrivals"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	init, err := time.ParseDuration(os.Getenv("COLD_INIT"))
	if err != nil {
		return fmt.Errorf("COLD_INIT: %w", err)
	}
	time.Sleep(init)
	return lambdapeer.ListenAndServe(app{environment: rand.Text()[:8]})
}

type app struct{ environment string }

// ServeHTTP implements http.Handler.
func (a app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.URL.Query().Get("ms"))
	if err != nil {
		http.Error(w, "ms: must be a whole number", http.StatusBadRequest)
		return
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	w.Header().Set(arrivals.ServedBy, a.environment)
}
