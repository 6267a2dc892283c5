package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// readPlan reads a plan from a request's body. Without a body the plan is as configured.
func readPlan(body []byte) (operator.RolloutPlan, error) {
	var p operator.RolloutPlan
	if len(bytes.TrimSpace(body)) == 0 {
		return p, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("the request's body: %w", err)
	}
	if decoder.More() {
		return p, errors.New("the request's body: must be one JSON object, and more follows it")
	}
	if p.Hold != nil {
		if _, err := time.ParseDuration(*p.Hold); err != nil {
			return p, fmt.Errorf("hold: must be a duration, such as \"10s\", got %q", *p.Hold)
		}
	}
	return p, p.Over(config.DefaultFunction().Rollout).Validate()
}

// rolloutOf starts a rollout by POST and gives it up by DELETE.
func rolloutOf(source Source) http.Handler {
	return methods(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		if r.Method == http.MethodDelete {
			began(w, source.AbortRollout(name), "aborting")
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			fail(w, http.StatusRequestEntityTooLarge, unreadBody)
			return
		}
		plan, err := readPlan(body)
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		began(w, source.StartRollout(name, plan), "rolling out")
	}, http.MethodPost, http.MethodDelete)
}

// drainOf drains a function: the new instances before the old ones end, or with ?now at once.
func drainOf(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		atOnce, err := flagOf(r, "now")
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
		began(w, source.DrainFunction(r.PathValue("name"), atOnce), "draining")
	}
}

// flagOf tells whether the query has a word without a value, or with the value true.
func flagOf(r *http.Request, word string) (bool, error) {
	switch value := r.URL.Query().Get(word); {
	case !r.URL.Query().Has(word), value == "false":
		return false, nil
	case value == "", value == "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s: must be true, false or without a value, got %q", word, value)
	}
}
