package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/envoy"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// A Function runs in lambdalocal and is reached both ways: through Envoy at /name, and through lambdalocal's direct front
// end, one request per environment.
type Function struct {
	Name    string
	Scaling string   // YAML flow mapping over the defaults: "{min: 1}"; empty: the defaults
	Command []string // program and arguments; empty: the Go example
	Beside  string   // program of lambdapeer, for an app that is a plain HTTP server; empty: the app has it within
	Env     string   // YAML flow mapping of variables for it
	Managed bool     // runs as on Lambda Managed Instances, with their defaults
}

// MemoryMB is what every function of a Stack has.
const MemoryMB = 1024

// ManagedMB is what those on Managed Instances have: the least there.
const ManagedMB = 2048

// A cold start waits before its init begins, as long as lambdalocal draws from a lognormal distribution with these
// quantiles: AWS takes some time until the function's own code runs, and a process of this machine next to none.
const (
	ColdP50 = 200 * time.Millisecond
	ColdP99 = 500 * time.Millisecond
)

var (
	lambdaYAML = template.Must(template.New("lambdalocal.yaml").Parse(`
address: "{{.Invoke}}"
direct: {address: "{{.Direct}}"}
isolation: "off" # what leaves an environment would pass through lambdalocal, which is not what is measured
functions:
{{- range .Functions}}
- name: {{.Name}}
  command: [{{range .Command}}"{{.}}", {{else}}"{{$.App}}"{{end}}]
  {{- with .Beside}}
  extensions: [["{{.}}"]]
  {{- end}}
  {{- with .Env}}
  env: {{.}}
  {{- end}}
  timeout: 15m
  {{- if .Managed}}
  memory_mb: {{$.ManagedMB}}
  managed: {}
  {{- else}}
  memory_mb: {{$.MemoryMB}}
  {{- end}}
  cold_start_delay: {p50: {{$.ColdP50}}, p99: {{$.ColdP99}}}
{{- end}}
`))
	stackYAML = template.Must(template.New("controlplane.yaml").Parse(`
state_dir: {{.Dir}}
listeners: [{name: front, address: "{{.Front}}"}]
admin: {address: "{{.Admin}}"}
relay: {address: "{{.Relay}}"}
aws: {endpoint: "http://{{.Invoke}}"}
log: {level: warn}
functions:
{{- range .Dispatchable}}
- name: {{.Name}}
  routes: [{path: /{{.Name}}, strip_prefix: true}]
  lambda: {memory_mb: {{$.MemoryMB}}}
  {{- with .Scaling}}
  scaling: {{.}}
  {{- end}}
{{- end}}
`))
)

// A Stack is everything, running: Envoy, the control plane and lambdalocal, in processes of their own. Whatever its configuration does not name has its default.
type Stack struct {
	Front  string // host:port of Envoy
	Direct string // host:port of lambdalocal's direct front end
	Admin  string // host:port of the control plane
	Invoke string // host:port of lambdalocal's Invoke API

	Relay, Dir, App string
	Functions       []Function
}

// StartStack returns when Envoy serves the functions. make build and make envoy come before it.
func StartStack(ctx context.Context, l *Lab, functions []Function) (*Stack, error) {
	s := &Stack{Dir: l.Path("s"), Functions: functions}
	at, err := FreeAddresses(5)
	if err != nil {
		return nil, err
	}
	s.Front, s.Direct, s.Admin, s.Invoke, s.Relay = at[0], at[1], at[2], at[3], at[4]
	if s.App, err = filepath.Abs("build/example-go"); err != nil {
		return nil, err
	}
	if err := s.startPart(ctx, l, "lambdalocal", lambdaYAML, s.Direct, "--config"); err != nil {
		return nil, err
	}
	if err := s.startPart(ctx, l, "lambda-dispatch", stackYAML, s.Admin); err != nil {
		return nil, err
	}
	return s, s.startEnvoy(ctx, l)
}

// Dispatchable are the functions that the control plane knows.
func (s *Stack) Dispatchable() []Function {
	return slices.DeleteFunc(slices.Clone(s.Functions), func(f Function) bool { return f.Managed })
}

// startPart starts one of our programs with a configuration and waits until it listens.
func (s *Stack) startPart(ctx context.Context, l *Lab, name string, config *template.Template, at string, flags ...string) error {
	path, err := s.write(l, name, config)
	if err != nil {
		return err
	}
	p, err := l.Start(name, nil, filepath.Join("build", name), append(append([]string{"run"}, flags...), path)...)
	if err != nil {
		return err
	}
	return Until(ctx, name, p, Listens(at))
}

// write makes the file of a configuration.
func (s *Stack) write(l *Lab, name string, config *template.Template) (path string, err error) {
	data := struct {
		*Stack
		MemoryMB, ManagedMB int
		ColdP50, ColdP99    time.Duration
	}{s, MemoryMB, ManagedMB, ColdP50, ColdP99}
	var text strings.Builder
	if err := config.Execute(&text, data); err != nil {
		return "", err
	}
	return l.Write(name+".yaml", text.String())
}

func (s *Stack) startEnvoy(ctx context.Context, l *Lab) error {
	e, err := envoy.Start(context.WithoutCancel(ctx), envoy.Options{
		Binary: l.Envoy(), StateDir: s.Dir, AdminAddress: "127.0.0.1:0", Concurrency: l.Workers(), LogPath: l.Path("envoy.log"),
	})
	if err != nil {
		return err
	}
	l.Defer(func() { e.Stop(5 * time.Second) })
	return Until(ctx, "Envoy", nil, func() error { return GetJSON("http://"+s.Admin+"/readyz", nil) })
}

// ThroughURL is the address of a path of a function's app through Envoy, DirectURL the one with an environment for each
// request.
func (s *Stack) ThroughURL(function, path string) string {
	return "http://" + s.Front + "/" + function + path
}

// DirectURL is described at ThroughURL.
func (s *Stack) DirectURL(function, path string) string {
	return "http://" + s.Direct + "/" + function + path
}

// An Estimate is what the control plane says about a function.
type Estimate struct {
	Name     string `json:"name"`
	Starting int    `json:"starting"`
	Ready    int    `json:"ready"`
	Draining int    `json:"draining"`
	Down     int    `json:"down"`
	Starts   uint64 `json:"starts"`
	Waits    Waits  `json:"queue_wait"`
	Bill     struct {
		Invocations uint64  `json:"billed_invocations"`
		Running     int     `json:"running_invocations"`
		GBSeconds   float64 `json:"gb_seconds"`
		Dollars     float64 `json:"dollars"`
		Plain       struct {
			GBSeconds float64 `json:"gb_seconds"`
			Dollars   float64 `json:"dollars"`
		} `json:"plain"`
	} `json:"bill"`
}

// Waits are a histogram of the control plane's. Its first bucket is of the requests that found a free slot.
type Waits struct {
	Counts []uint64 `json:"counts"`
}

// Share is the part of the requests that had to wait.
func (w Waits) Share() float64 {
	var all uint64
	for _, n := range w.Counts {
		all += n
	}
	if all == 0 {
		return 0
	}
	return 1 - float64(w.Counts[0])/float64(all)
}

// live is how many instances have not ended.
func (e Estimate) live() int { return e.Starting + e.Ready + e.Draining + e.Down + e.Bill.Running }

// Estimate asks the control plane about a function.
func (s *Stack) Estimate(function string) (Estimate, error) {
	var list struct {
		Functions []Estimate `json:"functions"`
	}
	if err := GetJSON("http://"+s.Admin+"/api/v1/functions", &list); err != nil {
		return Estimate{}, err
	}
	for _, f := range list.Functions {
		if f.Name == function {
			return f, nil
		}
	}
	return Estimate{}, fmt.Errorf("control plane: no function %q", function)
}

// Ended waits until no instance of the function is left and the ledger has all invocations, and returns what the control plane says
// then. An invocation is billed when its environment is frozen, some time after the control plane has heard of its end.
func (s *Stack) Ended(ctx context.Context, function string) (e Estimate, err error) {
	err = Until(ctx, "the end of "+function+"'s instances", nil, func() (err error) {
		if e, err = s.Estimate(function); err == nil && e.live() > 0 {
			err = fmt.Errorf("%d are left", e.live())
		}
		return err
	})
	if err != nil {
		return e, err
	}
	return e, Until(ctx, function+"'s bill", nil, func() error {
		c, err := s.Counters(function)
		if err == nil && c.Ended < c.Started {
			err = fmt.Errorf("%d invocations are not in it", c.Started-c.Ended)
		}
		return err
	})
}

// Account is the ledger's bill of a function.
func (s *Stack) Account(function string) (lambdalocal.Account, error) {
	var statement lambdalocal.Statement
	if err := GetJSON("http://"+s.Invoke+"/lambdalocal/ledger", &statement); err != nil {
		return lambdalocal.Account{}, err
	}
	for _, a := range statement.Functions {
		if a.Function == function {
			return a, nil
		}
	}
	return lambdalocal.Account{}, fmt.Errorf("ledger: no function %q", function)
}

// Counters are lambdalocal's, of a function.
func (s *Stack) Counters(function string) (lambdalocal.Counters, error) {
	var all map[string]lambdalocal.Counters
	err := GetJSON("http://"+s.Invoke+"/lambdalocal/functions", &all)
	return all[function], err
}

// getJSON decodes an answer, unless into is nil.
func GetJSON(url string, into any) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
