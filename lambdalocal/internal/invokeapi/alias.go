package invokeapi

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// An alias in the API's JSON.
type alias struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RevisionId      string
	RoutingConfig   *routing `json:",omitempty"`
}

type routing struct{ AdditionalVersionWeights map[string]float64 }

func (h *Handler) alias(t target, a function.Alias) alias {
	t.qualifier = a.Name
	body := alias{AliasArn: h.arn(t), Name: a.Name, FunctionVersion: a.Version, Description: a.Description, RevisionId: a.Revision}
	if len(a.Weights) > 0 {
		body.RoutingConfig = &routing{a.Weights}
	}
	return body
}

func (h *Handler) listAliases(r *http.Request) (int, any, error) {
	t, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	list := []alias{}
	of := r.URL.Query().Get("FunctionVersion")
	if err := matching(of, versionRule, "functionVersion"); err != nil {
		return 0, nil, err
	}
	for _, a := range f.Aliases() {
		if of == "" || of == a.Version || a.Weights[of] > 0 {
			list = append(list, h.alias(t, a))
		}
	}
	return page(r, "Aliases", list, maxItems)
}

func (h *Handler) getAlias(r *http.Request) (int, any, error) {
	t, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	a, ok := f.Alias(r.PathValue("alias"))
	if !ok {
		return 0, nil, h.noAlias(t, r.PathValue("alias"))
	}
	return http.StatusOK, h.alias(t, a), nil
}

func (h *Handler) noAlias(t target, name string) error {
	t.qualifier = name
	return serviceerror.New(serviceerror.TypeNotFound, "Cannot find alias arn: %s", h.arn(t))
}

// An aliasChange is the body of CreateAlias and UpdateAlias. What is absent stays as it is.
type aliasChange struct {
	Name            string
	FunctionVersion string
	Description     *string
	RoutingConfig   *routing
	RevisionID      string `json:"RevisionId"` // that the alias must have; empty: any
}

func (c aliasChange) check() error {
	err := cmp.Or(matching(c.FunctionVersion, versionRule, "functionVersion"), notLonger(c.Description, maxDescription, "description"))
	if err == nil && c.RoutingConfig != nil {
		err = c.RoutingConfig.check()
	}
	return err
}

func (r routing) check() error {
	const parameter = "routingConfig.additionalVersionWeights"
	for version, weight := range r.AdditionalVersionWeights {
		number := strconv.FormatFloat(weight, 'f', -1, 64)
		if !strings.Contains(number, ".") {
			number += ".0"
		}
		entry := "{" + version + "=" + number + "}"
		switch {
		case !numberRule.MatchString(version):
			return serviceerror.Unsatisfied(entry, parameter, "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, "+
				"Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]")
		case weight < 0 || weight > 1:
			return serviceerror.Unsatisfied(entry, parameter, "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "+
				"Member must have value greater than or equal to 0.0, Member must not be null]")
		}
	}
	return nil
}

func (c aliasChange) over(a function.Alias) function.Alias {
	if c.FunctionVersion != "" {
		a.Version = c.FunctionVersion
	}
	if c.Description != nil {
		a.Description = *c.Description
	}
	if c.RoutingConfig != nil {
		a.Weights = c.RoutingConfig.AdditionalVersionWeights
	}
	a.Revision = c.RevisionID
	return a
}

func (h *Handler) createAlias(r *http.Request) (int, any, error) {
	t, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	var c aliasChange
	if err := settings(r, &c); err != nil {
		return 0, nil, err
	}
	if c.FunctionVersion == "" {
		return 0, nil, serviceerror.Absent("functionVersion")
	}
	if err := cmp.Or(aliasName(c.Name), c.check()); err != nil {
		return 0, nil, err
	}
	if _, ok := f.Alias(c.Name); ok {
		t.qualifier = c.Name
		return 0, nil, serviceerror.New(serviceerror.TypeConflict, "Alias already exists: %s", h.arn(t))
	}
	return h.setAlias(http.StatusCreated, t, f, c.over(function.Alias{Name: c.Name}))
}

func (h *Handler) updateAlias(r *http.Request) (int, any, error) {
	t, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	var c aliasChange
	if err := settings(r, &c); err != nil {
		return 0, nil, err
	}
	if err := c.check(); err != nil {
		return 0, nil, err
	}
	a, ok := f.Alias(r.PathValue("alias"))
	if !ok {
		t.qualifier = r.PathValue("alias")
		return 0, nil, serviceerror.New(serviceerror.TypeNotFound, "Alias not found: %s", h.arn(t))
	}
	return h.setAlias(http.StatusOK, t, f, c.over(a))
}

func (h *Handler) setAlias(status int, t target, f *function.Function, a function.Alias) (int, any, error) {
	a, err := f.SetAlias(a)
	if err != nil {
		return 0, nil, err
	}
	h.Log.WithFields(logrus.Fields{
		"function": t.name, "alias": a.Name, "version": a.Version, "weights": a.Weights,
	}).Info("alias set")
	return status, h.alias(t, a), nil
}

func (h *Handler) deleteAlias(r *http.Request) (int, any, error) {
	_, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	f.DeleteAlias(r.PathValue("alias"))
	return http.StatusNoContent, nil, nil
}
