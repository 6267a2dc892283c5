package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admin/page"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
)

// routes lists all that is served.
func routes(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/healthz", read(func(w http.ResponseWriter, _ *http.Request) { answer(w, status{"alive"}) }))
	mux.Handle("/readyz", read(readiness(o)))
	mux.Handle("/metrics", read(promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{Registry: o.Registry}).ServeHTTP))
	mux.Handle("/api/v1/status", read(overviewOf(o)))
	if o.Reloader != nil {
		mux.Handle("/reload", reload(o.Reloader))
	}
	if o.Source != nil {
		serveAPI(mux, o.Source)
	}
	pages := page.Handler()
	mux.Handle("/page/", read(http.StripPrefix("/page", pages).ServeHTTP))
	mux.Handle("/{$}", read(front(pages, index(o))))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is nothing at "+r.URL.Path+"; / lists what there is")
	})
	return mux
}

// front shows browsers the page, and others the index.
func front(page, index http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if strings.Contains(r.Header.Get("Accept"), "text/html") {
			page.ServeHTTP(w, r)
			return
		}
		index.ServeHTTP(w, r)
	}
}

// serveAPI adds the paths by which operators see and command functions and instances.
func serveAPI(mux *http.ServeMux, source Source) {
	mux.Handle("/api/v1/functions", read(compress(functions(source))))
	mux.Handle("/api/v1/functions/{name}", read(function(source)))
	mux.Handle("/api/v1/instances", read(compress(instances(source))))
	mux.Handle("/api/v1/recent", read(compress(recent(source))))
	mux.Handle("/api/v1/functions/{name}/drain", write(drainOf(source)))
	mux.Handle("/api/v1/functions/{name}/rollout", rolloutOf(source))
	mux.Handle("/api/v1/functions/{name}/retry", write(begin(source.RetryFunction, "name", "trying")))
	mux.Handle("/api/v1/instances/{id}/drain", write(begin(source.DrainInstance, "id", "draining")))
}

// index lists the paths as text, for an operator who knows only the port and has no browser at hand.
func index(o Options) http.HandlerFunc {
	text := indexOfAll
	if o.Reloader != nil {
		text += indexOfReload
	}
	if o.Source != nil {
		text += indexOfAPI
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

const (
	indexOfAll = `Lambda Dispatch. A browser shows a status page here.

GET  /healthz                         200 while the process works
GET  /readyz                          200 once Envoy has its configuration, else 503 with the reason; what Envoys refuse
GET  /metrics                         for Prometheus
GET  /api/v1/status                   this process: who leads, relays, Envoys, certificates
`
	indexOfReload = `POST /reload                          read the configuration file again now; GET shows the result of the last time
`
	indexOfAPI = `GET  /api/v1/functions                each function: queue, slots, instances, failures, bill
GET  /api/v1/functions/{name}         one of them
GET  /api/v1/instances                each instance that has not ended
GET  /api/v1/recent                   the last failures, and the requests that waited last
POST /api/v1/functions/{name}/rollout replace all instances by new ones of the version that the qualifier points to; DELETE stops that
POST /api/v1/functions/{name}/drain   replace all instances by new ones of the same version; ?now drains them before there are new ones
POST /api/v1/functions/{name}/retry   after starts have failed: try again at once
POST /api/v1/instances/{id}/drain     drain one instance
`
)

// read accepts GET and HEAD.
func read(next http.HandlerFunc) http.Handler { return methods(next, http.MethodGet, http.MethodHead) }

// write accepts POST. The body is read and ignored, so that a large one is refused.
func write(next http.HandlerFunc) http.Handler {
	return methods(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			fail(w, http.StatusRequestEntityTooLarge, unreadBody)
			return
		}
		next(w, r)
	}, http.MethodPost)
}

const unreadBody = "the request's body cannot be read, or is too large"

func methods(next http.HandlerFunc, allowed ...string) http.Handler {
	list := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(allowed, r.Method) {
			w.Header().Set("Allow", list)
			fail(w, http.StatusMethodNotAllowed, "use "+list)
			return
		}
		next(w, r)
	})
}

// A status is the answer to a request that asks for no data.
type status struct {
	Status string `json:"status"`
}

// A knowledge is what /readyz adds to its answer, whether ready or not.
type knowledge struct {
	Envoys  int               `json:"envoys"`
	Refused []Refused         `json:"refused"`
	Files   map[string]string `json:"files_not_taken"` // why, by name
}

// readiness answers /readyz. A request with a token is told more than a probe, which has none.
func readiness(o Options) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		r := o.Ready()
		var more *knowledge
		if (bearer{o.Token}).shown(request) {
			more = &knowledge{r.Envoys, orEmpty(r.Refused), notTaken(o.Files)}
		}
		if r.Reason == "" {
			answer(w, struct {
				status
				*knowledge
			}{status{"ready"}, more})
			return
		}
		send(w, http.StatusServiceUnavailable, problemType, struct {
			problem
			*knowledge
		}{newProblem(http.StatusServiceUnavailable, r.Reason), more})
	}
}

func notTaken(files func() FilesStatus) map[string]string {
	why := map[string]string{}
	if files == nil {
		return why
	}
	for name, refused := range files().Refused {
		if refused != "" {
			why[name] = refused
		}
	}
	return why
}

func functions(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := source.Functions()
		slices.SortFunc(list, func(a, b operator.Function) int { return cmp.Compare(a.Name, b.Name) })
		for i := range list {
			fill(&list[i])
		}
		answer(w, map[string][]operator.Function{"functions": orEmpty(list)})
	}
}

func function(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, list := r.PathValue("name"), source.Functions()
		n := slices.IndexFunc(list, func(f operator.Function) bool { return f.Name == name })
		if n < 0 {
			fail(w, http.StatusNotFound, fmt.Sprintf("function %q: %v", name, operator.ErrNotFound))
			return
		}
		fill(&list[n])
		answer(w, list[n])
	}
}

func instances(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		list := source.Instances()
		slices.SortFunc(list, func(a, b operator.Instance) int {
			return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.ID, b.ID))
		})
		answer(w, map[string][]operator.Instance{"instances": orEmpty(list)})
	}
}

func recent(source Source) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		r := source.Recent()
		r.Failures, r.Waited = orEmpty(r.Failures), orEmpty(r.Waited)
		answer(w, r)
	}
}

// fill replaces nil lists and maps by empty ones, so that JSON has no null, and sorts lists.
func fill(f *operator.Function) {
	f.Requests = orEmpty(f.Requests)
	slices.SortFunc(f.Requests, func(a, b operator.RequestCount) int {
		return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Cause, b.Cause))
	})
	f.QueueWait.Bounds, f.QueueWait.Counts = orEmpty(f.QueueWait.Bounds), orEmpty(f.QueueWait.Counts)
	if f.StartFailures == nil {
		f.StartFailures = map[string]uint64{}
	}
	if f.Ends == nil {
		f.Ends = map[string]uint64{}
	}
	if f.Versions == nil {
		f.Versions = map[string]int{}
	}
	if f.Rollouts == nil {
		f.Rollouts = map[string]uint64{}
	}
}

// orEmpty replaces a nil list by an empty one, so that JSON has no null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// begin starts an action of the source on the function or instance that the path names. It does not wait for the end of that.
func begin(action func(string) error, key, doing string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began(w, action(r.PathValue(key)), doing)
	}
}

// began answers that something has begun, or why it has not.
func began(w http.ResponseWriter, err error, doing string) {
	switch {
	case errors.Is(err, operator.ErrNotFound):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, operator.ErrNotPossible):
		fail(w, http.StatusConflict, err.Error())
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error())
	default:
		send(w, http.StatusAccepted, "application/json", status{doing})
	}
}

func answer(w http.ResponseWriter, body any) { send(w, http.StatusOK, "application/json", body) }

// A problem is the body of every refusal (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

const problemType = "application/problem+json"

func newProblem(code int, detail string) problem {
	return problem{"about:blank", http.StatusText(code), code, detail}
}

func fail(w http.ResponseWriter, code int, detail string) {
	send(w, code, problemType, newProblem(code, detail))
}

// send writes body as indented JSON. An error is dropped: it means that the client has gone.
func send(w http.ResponseWriter, code int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(body)
}
