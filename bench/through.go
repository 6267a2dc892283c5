package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/template"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

// controlYAML is the configuration of the control plane that is measured. Other keys have their defaults.
var controlYAML = template.Must(template.New("controlplane.yaml").Parse(`
state_dir: {{.Dir}}
listeners: [{name: front, address: "{{.Front}}"}]
admin: {address: "{{.Admin}}"}
relay:
  address: "{{.Relay}}"
  apart: {{.Apart}}
{{- if .Certificate}}
  tls: files
  certificate_file: {{.Certificate.Certificate}}
  key_file: {{.Certificate.Key}}
  ca_file: {{.Certificate.Certificate}}
{{- else}}
  tls: "off"
{{- end}}
log: {level: warn}
{{.More}}
functions:
{{- range $name, $slots := .Functions}}
- name: {{$name}}
  provider: static
  static: {token_file: {{$.Token}}}
  routes: [{path: /{{$name}}}]
  queue: {limit: 2000}
  scaling: {concurrency: {{$slots}}, max: 2000}
{{- end}}
`))

// A way says how the whole path is laid out.
type way struct {
	TLS   bool // on the tunnels
	Apart bool // the relay is a process of its own, beside the control plane that leads
}

// ways returns the ways that are measured.
var ways = []way{{TLS: true}, {}, {TLS: true, Apart: true}}

// String names a way in data and folders.
func (w way) String() string {
	switch {
	case w.Apart:
		return "through-apart"
	case w.TLS:
		return "through-tls"
	default:
		return "through"
	}
}

// through is the whole path without its apps: a control plane with its relay, and Envoy with the usual bootstrap.
type through struct {
	system
	way
	Dir, Front, Admin, Relay, Token string
	Certificate                     *certificate   // nil: plain TCP
	Functions                       map[string]int // slots of an instance, by name, which is also the path
	More                            string         // keys of the configuration
	envoy                           *envoy.Process
}

func startThrough(ctx context.Context, l *lab.Lab, w way, functions map[string]int, more string) (*through, error) {
	t := &through{way: w, Dir: l.Path("s"), Functions: functions, More: more}
	t.name, t.pids = w.String(), map[string][]int{}
	at, err := lab.FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	t.Front, t.Admin, t.Relay = at[0], at[1], at[2]
	t.front = t.Front
	if err := t.prepare(l); err != nil {
		return nil, err
	}
	if err := t.startControlPlane(ctx, l); err != nil {
		return nil, err
	}
	return t, t.startEnvoy(ctx, l)
}

func (t *through) prepare(l *lab.Lab) (err error) {
	if t.Token, err = l.Write("token", "a token of the bench, and of nobody else"); err != nil {
		return err
	}
	if t.TLS {
		t.Certificate, err = newCertificate(l)
	}
	return err
}

func (t *through) startControlPlane(ctx context.Context, l *lab.Lab) error {
	var config strings.Builder
	if err := controlYAML.Execute(&config, t); err != nil {
		return err
	}
	path, err := l.Write("controlplane.yaml", config.String())
	if err != nil {
		return err
	}
	if t.Apart {
		relay, err := l.Start("relay", nil, controlBinary, "relay", path)
		if err != nil {
			return err
		}
		t.pids[roleControl] = append(t.pids[roleControl], relay.PID())
	}
	p, err := l.Start("controlplane", nil, controlBinary, "run", path)
	if err != nil {
		return err
	}
	t.pids[roleControl] = append(t.pids[roleControl], p.PID())
	return lab.Until(ctx, "control plane", p, lab.Listens(t.Admin))
}

func (t *through) startEnvoy(ctx context.Context, l *lab.Lab) (err error) {
	t.envoy, err = envoy.Start(context.WithoutCancel(ctx), envoy.Options{
		Binary: l.Envoy(), StateDir: t.Dir, AdminAddress: "127.0.0.1:0", Concurrency: l.Workers(), LogPath: l.Path("envoy.log"),
	})
	if err != nil {
		return err
	}
	l.Defer(func() { t.envoy.Stop(5 * time.Second) })
	t.pids[roleEnvoy] = []int{t.envoy.Pid()}
	return lab.Until(ctx, "Envoy", nil, func() error {
		return t.get("/readyz", nil)
	})
}

// peerEnv is what a peer of a function finds in its environment.
func (t *through) peerEnv(function string) map[string]string {
	env := map[string]string{
		"LAMBDA_DISPATCH_PEER_RELAY":      "http://" + t.Relay,
		"LAMBDA_DISPATCH_PEER_FUNCTION":   function,
		"LAMBDA_DISPATCH_PEER_TOKEN_FILE": t.Token,
	}
	if t.TLS {
		env["LAMBDA_DISPATCH_PEER_RELAY"] = "https://" + t.Relay
		env["LAMBDA_DISPATCH_PEER_CA_FILE"] = t.Certificate.Certificate
	}
	return env
}

func environ(env map[string]string) (list []string) {
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// startApps runs the apps as peers that register by themselves, and waits until all of them serve.
func (t *through) startApps(ctx context.Context, l *lab.Lab, function string, apps int) error {
	for n := range apps {
		app, err := l.Start(fmt.Sprintf("app-%d", n), environ(t.peerEnv(function)), appBinary)
		if err != nil {
			return err
		}
		t.pids[roleApps] = append(t.pids[roleApps], app.PID())
	}
	return t.awaitReady(ctx, function, apps)
}

// functionStatus is the part of the admin API's answer that the bench looks at.
type functionStatus struct {
	Name       string `json:"name"`
	QueueDepth int    `json:"queue_depth"`
	Ready      int    `json:"ready"`
	Starting   int    `json:"starting"`
	Draining   int    `json:"draining"`
}

func (t *through) awaitReady(ctx context.Context, function string, count int) error {
	return t.await(ctx, function, fmt.Sprintf("%d instances", count), func(f functionStatus) bool { return f.Ready == count })
}

// await polls a function's status.
func (t *through) await(ctx context.Context, function, what string, ok func(functionStatus) bool) error {
	return lab.Until(ctx, what, nil, func() error {
		var list struct {
			Functions []functionStatus `json:"functions"`
		}
		if err := t.get("/api/v1/functions", &list); err != nil {
			return err
		}
		for _, f := range list.Functions {
			if f.Name == function && ok(f) {
				return nil
			}
		}
		return fmt.Errorf("not yet: %+v", list.Functions)
	})
}

// get asks the admin address and decodes the answer, unless into is nil.
func (t *through) get(path string, into any) error {
	resp, err := http.Get("http://" + t.Admin + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
