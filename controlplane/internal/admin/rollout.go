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

// readPlan reads a request's body; an empty one is a plan that is as configured.
func readPlan(body io.Reader) (operator.RolloutPlan, error) {
	var p operator.RolloutPlan
	text, err := io.ReadAll(body)
	if err != nil {
		return p, errors.New("the request's body cannot be read, or is too large")
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return p, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("the request's body: %w", err)
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
		plan, err := readPlan(r.Body)
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
		began(w, source.DrainFunction(r.PathValue("name"), r.URL.Query().Has("now")), "draining")
	}
}
