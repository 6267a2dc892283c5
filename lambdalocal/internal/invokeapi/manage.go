package invokeapi

import (
	"encoding/json"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/request"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/uuid"
)

// maxSettings bounds the body of a call that changes a setting.
const maxSettings = 64 << 10

func (h *Handler) registerManagement(mux *http.ServeMux) {
	for pattern, serve := range map[string]func(*http.Request) (int, any, error){
		"GET /2016-08-19/account-settings":                            h.getAccountSettings,
		"GET /2015-03-31/functions":                                   h.listFunctions,
		"GET /2015-03-31/functions/{$}":                               h.listFunctions,
		"GET /2015-03-31/functions/{name}":                            h.getFunction,
		"GET /2015-03-31/functions/{name}/configuration":              h.getFunctionConfiguration,
		"GET /2015-03-31/functions/{name}/versions":                   h.listVersions,
		"GET /2015-03-31/functions/{name}/aliases":                    h.listAliases,
		"PUT /2015-03-31/functions/{name}/code":                       h.updateCode,
		"PUT /2015-03-31/functions/{name}/configuration":              h.updateConfiguration,
		"POST /2015-03-31/functions/{name}/versions":                  h.publishVersion,
		"POST /2015-03-31/functions/{name}/aliases":                   h.createAlias,
		"PUT /2015-03-31/functions/{name}/aliases/{alias}":            h.updateAlias,
		"DELETE /2015-03-31/functions/{name}/aliases/{alias}":         h.deleteAlias,
		"GET /2015-03-31/functions/{name}/aliases/{alias}":            h.getAlias,
		"GET /2015-03-31/functions/{name}/policy":                     h.getPolicy,
		"GET /2017-03-31/tags/{name}":                                 h.listTags,
		"GET /2019-09-25/functions/{name}/event-invoke-config":        h.getEventInvokeConfig,
		"GET /2020-06-30/functions/{name}/code-signing-config":        h.getCodeSigning,
		"GET /2021-10-31/functions/{name}/url":                        h.getFunctionURL,
		"GET /2021-10-31/functions/{name}/urls":                       h.listFunctionURLs,
		"PUT /2017-10-31/functions/{name}/concurrency":                h.putConcurrency,
		"GET /2019-09-30/functions/{name}/concurrency":                h.getConcurrency,
		"DELETE /2017-10-31/functions/{name}/concurrency":             h.deleteConcurrency,
		"PUT /2019-09-30/functions/{name}/provisioned-concurrency":    h.putProvisioned,
		"GET /2019-09-30/functions/{name}/provisioned-concurrency":    h.getProvisioned,
		"DELETE /2019-09-30/functions/{name}/provisioned-concurrency": h.deleteProvisioned,
	} {
		mux.HandleFunc(pattern, managed(serve))
	}
}

// managed sends what a call returns: the status, and the body unless it is nil.
func managed(serve func(*http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-RequestId", uuid.New())
		status, body, err := serve(r)
		if err != nil {
			serviceerror.Send(w, err)
			return
		}
		if body != nil {
			w.Header().Set("Content-Type", "application/json")
		}
		w.WriteHeader(status)
		if body != nil {
			_ = json.NewEncoder(w).Encode(body)
		}
	}
}

func (h *Handler) getAccountSettings(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{
		"AccountLimit": map[string]any{
			"ConcurrentExecutions": h.Account.Limit(), "UnreservedConcurrentExecutions": h.Account.Unreserved(),
			"TotalCodeSize": 75 << 30, "CodeSizeUnzipped": 250 << 20, "CodeSizeZipped": 50 << 20, // Lambda's
		},
		"AccountUsage": map[string]any{"FunctionCount": len(h.Functions), "TotalCodeSize": 0},
	}, nil
}

// listFunctions lists the latest versions, or all.
func (h *Handler) listFunctions(r *http.Request) (int, any, error) {
	list := []configuration{}
	versions := r.URL.Query().Get("FunctionVersion")
	if versions != "" {
		if err := oneOf(versions, "functionVersion", "ALL"); err != nil {
			return 0, nil, err
		}
	}
	for _, f := range h.Functions {
		if versions != "" {
			list = append(list, h.all(f)...)
		} else {
			list = append(list, h.latest(f))
		}
	}
	return page(r, "Functions", list, maxItems)
}

func (h *Handler) getFunction(r *http.Request) (int, any, error) {
	c, version, f, err := h.described(r)
	if err != nil {
		return 0, nil, err
	}
	body := map[string]any{
		"Configuration": c, "Tags": map[string]string{}, "Code": map[string]string{"RepositoryType": "lambdalocal", "Location": "file://" + version.Dir},
	}
	if reserved := f.Config().Share.Reserved(); reserved != nil {
		body["Concurrency"] = concurrency{reserved}
	}
	return http.StatusOK, body, nil
}

func (h *Handler) getFunctionConfiguration(r *http.Request) (int, any, error) {
	c, _, _, err := h.described(r)
	return http.StatusOK, c, err
}

func (h *Handler) listVersions(r *http.Request) (int, any, error) {
	_, f, err := h.find(r)
	if err != nil {
		return 0, nil, err
	}
	return page(r, "Versions", h.all(f), maxItems)
}

func (h *Handler) latest(f *function.Function) configuration {
	v, _ := f.Version(function.Latest)
	return h.configuration(f, target{name: v.Function}, v)
}

// all are all versions, the latest first and by its name.
func (h *Handler) all(f *function.Function) []configuration {
	latest, _ := f.Version(function.Latest)
	var list []configuration
	for _, v := range append([]function.Version{latest}, f.Versions()...) {
		list = append(list, h.configuration(f, target{name: v.Function, qualifier: v.Version}, v))
	}
	return list
}

// described finds what a request asks to describe.
func (h *Handler) described(r *http.Request) (configuration, function.Version, *function.Function, error) {
	t, f, err := h.find(r)
	if err != nil {
		return configuration{}, function.Version{}, nil, err
	}
	name, ok := mainVersion(f, t.version())
	if !ok {
		return configuration{}, function.Version{}, nil, h.notFound(t)
	}
	version, _ := f.Version(name)
	return h.configuration(f, t, version), version, f, nil
}

// mainVersion is the version of the qualifier, without regard to an alias's weights.
func mainVersion(f *function.Function, qualifier string) (string, bool) {
	if a, ok := f.Alias(qualifier); ok {
		return a.Version, true
	}
	return f.Resolve(qualifier)
}

// settings reads the body of a call that changes a setting.
func settings(r *http.Request, into any) error { return decode(r, into, maxSettings) }

func decode(r *http.Request, into any, limit int64) error {
	body, err := request.Body(r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return serviceerror.New(serviceerror.TypeInvalidContent, "Could not parse request body into json: %v", err)
	}
	return nil
}
