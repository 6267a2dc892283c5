package telemetry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The limits and defaults of buffering are Lambda's.
const (
	minItems, maxItems       = 1000, 10000
	minBytes, maxBytes       = 256 << 10, 1 << 20
	minTimeout, maxTimeout   = 25 * time.Millisecond, 30 * time.Second
	defaultTimeout           = time.Second
	defaultItems, defaultMax = maxItems, minBytes
)

var (
	types = []string{"platform", "function", "extension"}
	hosts = []string{"sandbox.localdomain", "sandbox", "localhost", "127.0.0.1"}
)

// An API by which extensions subscribe.
type API struct {
	schemas   []string // versions
	otherwise string   // of a request that says none; empty: it must
	logs      bool     // the Logs API
}

// newest is the only version of the schema on Managed Instances.
const newest = "2025-01-29"

// The APIs.
var (
	Telemetry = API{schemas: []string{"2022-07-01", "2022-12-13", newest}}
	Managed   = API{schemas: []string{newest}} // the Telemetry API on Managed Instances
	Logs      = API{schemas: []string{"2020-08-15", withRuntimeDone}, otherwise: "2020-08-15", logs: true}
)

// A Subscription says which events go where, and how many at once.
type Subscription struct {
	Types    []string // platform, function, extension
	logs     bool     // by the Logs API
	schema   string
	url      string // of HTTP
	method   string // of HTTP
	address  string // host:port
	maxItems int
	maxBytes int
	timeout  time.Duration // from a batch's first event until it is sent at the latest
}

// Parse reads the body of a subscription request. Its error names all that is wrong.
func (a API) Parse(body []byte) (Subscription, error) {
	var request struct {
		SchemaVersion string   `json:"schemaVersion"`
		Types         []string `json:"types"`
		Buffering     struct {
			MaxItems  *int `json:"maxItems"`
			MaxBytes  *int `json:"maxBytes"`
			TimeoutMs *int `json:"timeoutMs"`
		} `json:"buffering"`
		Destination destination `json:"destination"`
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return Subscription{}, fmt.Errorf("the request is not JSON of the expected shape: %w", err)
	}
	var m mistakes
	s := Subscription{
		Types:    request.Types,
		maxItems: m.within("maxItems", request.Buffering.MaxItems, minItems, maxItems, defaultItems),
		maxBytes: m.within("maxBytes", request.Buffering.MaxBytes, minBytes, maxBytes, defaultMax),
	}
	ms := m.within("timeoutMs", request.Buffering.TimeoutMs, int(minTimeout.Milliseconds()), int(maxTimeout.Milliseconds()), int(defaultTimeout.Milliseconds()))
	s.timeout = time.Duration(ms) * time.Millisecond
	s.logs, s.schema = a.logs, cmp.Or(request.SchemaVersion, a.otherwise)
	m.check(slices.Contains(a.schemas, s.schema), "schemaVersion must be one of %s", strings.Join(a.schemas, ", "))
	m.check(len(request.Types) > 0, "types should not be empty")
	for _, t := range request.Types {
		m.check(slices.Contains(types, t), "type %q is not one of %s", t, strings.Join(types, ", "))
	}
	request.Destination.resolve(&s, &m)
	return s, m.join()
}

type destination struct {
	Protocol string `json:"protocol"`
	URI      string `json:"URI"`
	Method   string `json:"method"`
	Port     int    `json:"port"`
}

// resolve sets the address. All names of the sandbox are this machine.
func (d destination) resolve(s *Subscription, m *mistakes) {
	switch d.Protocol {
	case "HTTP":
		u, err := url.Parse(d.URI)
		if err != nil {
			m.check(false, "URI is not valid")
			return
		}
		m.check(u.Scheme == "http", "URI must begin with http://")
		m.check(slices.Contains(hosts, u.Hostname()), "URI host must be sandbox.localdomain")
		m.check(u.Port() != "", "URI port is not provided")
		s.url, s.address, s.method = d.URI, "127.0.0.1:"+u.Port(), cmp.Or(d.Method, http.MethodPost)
		m.check(s.method == http.MethodPost || s.method == http.MethodPut, "method must be POST or PUT")
	case "TCP":
		m.check(d.Port > 0 && d.Port < 1<<16, "port must be 1 to 65535")
		s.address = "127.0.0.1:" + strconv.Itoa(d.Port)
	default:
		m.check(false, "protocol must be HTTP or TCP")
	}
}

type mistakes []string

func (m *mistakes) check(ok bool, format string, args ...any) {
	if !ok {
		*m = append(*m, fmt.Sprintf(format, args...))
	}
}

func (m *mistakes) within(name string, value *int, low, high, otherwise int) int {
	if value == nil {
		return otherwise
	}
	m.check(*value >= low && *value <= high, "%s must be %d to %d, got %d", name, low, high, *value)
	return *value
}

func (m mistakes) join() error {
	if len(m) == 0 {
		return nil
	}
	return errors.New(strings.Join(m, "; "))
}
