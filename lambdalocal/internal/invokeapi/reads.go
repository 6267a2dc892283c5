package invokeapi

import (
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// Tools read these of a function before they do anything with it. Most of it is not kept here, and the answers say so as
// Lambda says it of a function that has none.

// A functionURL is a FunctionUrlConfig in the API's JSON.
type functionURL struct {
	FunctionArn      string
	FunctionUrl      string
	AuthType         string
	InvokeMode       string
	CreationTime     string
	LastModifiedTime string
}

// url is the function's address on the direct front end, if there is one.
func (h *Handler) url(t target, f *function.Function) (functionURL, bool) {
	front := h.Direct()
	if front == "" {
		return functionURL{}, false
	}
	name, mode := t.name, "BUFFERED"
	if t.qualifier != "" {
		name += ":" + t.qualifier
	}
	if f.Config().StreamURL {
		mode = "RESPONSE_STREAM"
	}
	changed := h.latest(f).LastModified
	return functionURL{
		FunctionArn: h.arn(t), FunctionUrl: front + "/" + name + "/", AuthType: "NONE", InvokeMode: mode,
		CreationTime: changed, LastModifiedTime: changed,
	}, true
}

func (h *Handler) getFunctionURL(r *http.Request) (int, any, error) {
	t, err := h.target(r)
	switch {
	case err != nil:
		return 0, nil, err
	case t.qualifier != "" && !function.IsAliasName(t.qualifier):
		return 0, nil, serviceerror.Invalid(t.qualifier, "qualifier", `must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)`)
	case !h.known(t):
		return 0, nil, errNoResource
	}
	u, ok := h.url(t, h.function(t))
	if !ok {
		return 0, nil, errNoResource
	}
	return http.StatusOK, u, nil
}

func (h *Handler) listFunctionURLs(r *http.Request) (int, any, error) {
	t, err := h.target(r)
	if err != nil {
		return 0, nil, err
	}
	f := h.function(t)
	if f == nil {
		return 0, nil, serviceerror.New(serviceerror.TypeNotFound, "Function does not exist")
	}
	list := []functionURL{}
	if u, ok := h.url(t, f); ok {
		list = append(list, u)
	}
	return page(r, "FunctionUrlConfigs", list, pageLimit)
}

var errNoResource = serviceerror.New(serviceerror.TypeNotFound, "The resource you requested does not exist.")

// getPolicy: nobody is asked for a permission here.
func (h *Handler) getPolicy(r *http.Request) (int, any, error) {
	t, err := h.target(r)
	switch {
	case err != nil:
		return 0, nil, err
	case !h.known(t):
		return 0, nil, h.notFound(t)
	}
	return 0, nil, errNoResource
}

// listTags is of the function whose ARN is in the path. Versions and aliases have no tags.
func (h *Handler) listTags(r *http.Request) (int, any, error) {
	if err := matching(r.PathValue("name"), arnRule, "resource"); err != nil {
		return 0, nil, err
	}
	if _, err := h.findWhole(r); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"Tags": map[string]string{}}, nil
}

func (h *Handler) getCodeSigning(r *http.Request) (int, any, error) {
	t, _, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"CodeSigningConfigArn": "", "FunctionName": t.name}, nil
}

// getEventInvokeConfig says what becomes of the function's events.
func (h *Handler) getEventInvokeConfig(r *http.Request) (int, any, error) {
	t, err := h.target(r)
	if err != nil {
		return 0, nil, err
	}
	known := h.known(t)
	t.qualifier = t.version()
	if !known {
		return 0, nil, serviceerror.New(serviceerror.TypeNotFound, "The function %s doesn't have an EventInvokeConfig", h.arn(t))
	}
	events := h.function(t).Config().Events
	return http.StatusOK, map[string]any{
		"FunctionArn":              h.arn(t),
		"MaximumRetryAttempts":     events.MaxRetries,
		"MaximumEventAgeInSeconds": int(events.MaxAge.Seconds()),
		"DestinationConfig":        map[string]any{"OnSuccess": struct{}{}, "OnFailure": struct{}{}},
	}, nil
}
