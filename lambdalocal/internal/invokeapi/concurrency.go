package invokeapi

import (
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// A concurrency is reserved concurrency in the API's JSON.
type concurrency struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

func (h *Handler) putConcurrency(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err == nil {
		err = unmanaged(f, "ReservedConcurrentExecutions")
	}
	if err != nil {
		return 0, nil, err
	}
	var body concurrency
	if err := settings(r, &body); err != nil {
		return 0, nil, err
	}
	if err := atLeast(body.ReservedConcurrentExecutions, 0, "reservedConcurrentExecutions"); err != nil {
		return 0, nil, err
	}
	if err := f.Config().Share.Reserve(body.ReservedConcurrentExecutions); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, body, nil
}

func (h *Handler) getConcurrency(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, concurrency{f.Config().Share.Reserved()}, nil
}

func (h *Handler) deleteConcurrency(r *http.Request) (int, any, error) {
	f, err := h.findWhole(r)
	if err != nil {
		return 0, nil, err
	}
	if err := f.Config().Share.Reserve(nil); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// A provisioned is provisioned concurrency in the API's JSON.
type provisioned struct {
	FunctionArn                              string `json:",omitempty"` // in a list
	RequestedProvisionedConcurrentExecutions int
	AllocatedProvisionedConcurrentExecutions int
	AvailableProvisionedConcurrentExecutions int
	Status                                   string
	StatusReason                             string `json:",omitempty"`
	LastModified                             string
}

// unmanaged refuses a setting that functions on Managed Instances do not have.
func unmanaged(f *function.Function, setting string) error {
	if f.Config().Managed != nil {
		return invalid("%s is not supported for functions on Lambda Managed Instances", setting)
	}
	return nil
}

func (h *Handler) putProvisioned(r *http.Request) (int, any, error) {
	f, version, err := h.provisionable(r)
	if err == nil {
		err = unmanaged(f, "ProvisionedConcurrentExecutions")
	}
	if err != nil {
		return 0, nil, err
	}
	var body struct{ ProvisionedConcurrentExecutions *int }
	if err := settings(r, &body); err != nil {
		return 0, nil, err
	}
	if err := atLeast(body.ProvisionedConcurrentExecutions, 1, "provisionedConcurrentExecutions"); err != nil {
		return 0, nil, err
	}
	if err := f.Provision(version, *body.ProvisionedConcurrentExecutions); err != nil {
		return 0, nil, err
	}
	p, _ := f.Provisioned(version)
	return http.StatusAccepted, provisionedBody(p), nil
}

func (h *Handler) getProvisioned(r *http.Request) (int, any, error) {
	if list := r.URL.Query().Get("List"); list != "" {
		if err := oneOf(list, "list", "ALL"); err != nil {
			return 0, nil, err
		}
		return h.listProvisioned(r)
	}
	f, version, err := h.provisionable(r)
	if err != nil {
		return 0, nil, err
	}
	if version == function.Latest {
		return 0, nil, errNeverProvisioned
	}
	p, ok := f.Provisioned(version)
	if !ok {
		return 0, nil, serviceerror.New(serviceerror.TypeNotProvisioned, "No Provisioned Concurrency Config found for this function")
	}
	return http.StatusOK, provisionedBody(p), nil
}

func (h *Handler) listProvisioned(r *http.Request) (int, any, error) {
	t, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	list := []provisioned{}
	for _, v := range f.Versions() {
		if p, ok := f.Provisioned(v.Version); ok {
			t.qualifier = v.Version
			body := provisionedBody(p)
			body.FunctionArn = h.arn(t)
			list = append(list, body)
		}
	}
	return page(r, "ProvisionedConcurrencyConfigs", list, pageLimit)
}

func (h *Handler) deleteProvisioned(r *http.Request) (int, any, error) {
	f, version, err := h.provisionable(r)
	if err != nil {
		return 0, nil, err
	}
	if version == function.Latest {
		return 0, nil, errNeverProvisioned
	}
	if err := f.Provision(version, 0); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}

// provisionable finds the version that a request is about. An alias stands for its main version.
func (h *Handler) provisionable(r *http.Request) (*function.Function, string, error) {
	t, err := h.target(r)
	if err != nil {
		return nil, "", err
	}
	f := h.function(t)
	if f == nil || !h.known(t) {
		if function.IsAliasName(t.qualifier) {
			return nil, "", h.noAlias(t, t.qualifier)
		}
		return nil, "", h.notFound(t)
	}
	version, _ := mainVersion(f, t.version())
	return f, version, nil
}

var errNeverProvisioned = serviceerror.New(serviceerror.TypeInvalidValue, "The function resource provided must be an alias or a published version.")

func provisionedBody(p function.Provisioned) provisioned {
	body := provisioned{
		RequestedProvisionedConcurrentExecutions: p.Requested,
		AllocatedProvisionedConcurrentExecutions: p.Allocated,
		AvailableProvisionedConcurrentExecutions: p.Available,
		Status:                                   "IN_PROGRESS",
		LastModified:                             p.Changed.UTC().Format(timestamp),
	}
	switch {
	case p.Failed:
		body.Status, body.StatusReason = "FAILED", "FUNCTION_ERROR_INIT_FAILURE"
	case p.Allocated == p.Requested:
		body.Status = "READY"
	}
	return body
}
