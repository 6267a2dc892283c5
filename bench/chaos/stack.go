package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
	"github.com/lambda-dispatch/lambda-dispatch/envoy"
)

const function = "app"

var (
	lambdaYAML = template.Must(template.New("lambdalocal.yaml").Parse(`
address: "{{.Invoke}}"
links:
- {listen: "{{.Link}}", to: "{{.Relay}}"}
{{- range .Planes}}
- {listen: "{{.Link}}", to: "{{.Address}}"}
{{- end}}
functions:
- name: app
  command: ["{{.App}}"]
  env: {CHAOS_JOURNAL: "{{.Journal}}"}
  timeout: 15m
  memory_mb: 1024
  cold_start_delay: {p50: 200ms, p99: 500ms}
  versions: [{name: "1"}, {name: "2"}, {name: "3", command: ["/bin/false"]}]
  aliases: [{name: live, version: "1"}]
`))
	controlYAML = template.Must(template.New("controlplane.yaml").Parse(`
state_dir: {{.Dir}}
listeners: [{name: front, address: "{{.Front}}"}]
admin: {address: "{{.Admin}}"}
relay: {address: "{{.Relay}}", advertise: "{{.Link}}", apart: {{.Apart}}}
{{- with .Planes}}
cell:
  control_planes: [{{range .}}"{{.Link}}", {{end}}]
  {{- with $.Cell}}
  address: "{{.}}"
  {{- end}}
{{- end}}
aws: {endpoint: "http://{{.Invoke}}"}
log: {level: {{if .Apart}}info{{else}}warn{{end}}}
{{- with .AccessLog}}
access_log: {to: "{{.}}", query: true}
{{- end}}
functions:
- name: app
  routes: [{path: /}]
  lambda: {qualifier: live, memory_mb: 1024}
  rollout: {watch: 1s}
{{- if .Apart}}
  queue: {limit: 10000} # room for all who come while nothing serves
{{- end}}
  scaling: {max: 60, concurrency: {{.Concurrency}}}
`))
)

// A plane is where a control plane listens, and the link by which the relay and Envoy reach it.
type plane struct{ Address, Link string }

// A stack is everything, running, each part in a process that can be struck: Envoy, the control plane, and lambdalocal with
// a link for the network between functions and the relay. With settings.Leader there are two control planes, as on hosts of their own:
// each has a link to it, and the relay is a part too.
type stack struct {
	lab     *lab.Lab
	front   string // host:port of Envoy
	url     string // of the app, through Envoy
	admin   string // host:port of the control plane
	invoke  string // host:port of lambdalocal
	relay   string // host:port that strangers may reach
	link    string // host:port by which functions reach the relay
	dir     string // state directory
	journal string
	version string // that the function's alias points to

	control *lab.Process
	envoy   *envoy.Process

	admins               []string // with settings.Leader: of each control plane
	planes               []plane
	controls             []*part
	relayPart, envoyPart *part
	bootstrap            []byte // of Envoy; nil: the usual one
	// No processes: the record of the lease, the network between relay and leader, that between functions and relay, and the code.
	lease, uplink, downlink, code part
}

// start returns when Envoy serves the app. With settings.Leader the parts are started again until ctx ends.
func start(ctx context.Context, l *lab.Lab, o settings) (*stack, error) {
	addresses, err := lab.FreeAddresses(10)
	if err != nil {
		return nil, err
	}
	app, err := filepath.Abs("build/chaos-app")
	if err != nil {
		return nil, err
	}
	var planes []plane
	if o.Leader {
		planes = []plane{{addresses[6], addresses[7]}, {addresses[8], addresses[9]}}
	}
	values := map[string]any{
		"Planes": planes,
		"Apart":  o.Leader, "Concurrency": o.concurrency(),
		"Front": addresses[0], "Admin": addresses[1], "Invoke": addresses[2], "Relay": addresses[3], "Link": addresses[4],
		"AccessLog": "", "App": app, "Dir": l.Path("s"), "Journal": l.Path("journal"),
	}
	if o.keep {
		values["AccessLog"] = l.Path("access.log")
	}
	s := &stack{
		lab: l, front: addresses[0], url: "http://" + addresses[0] + "/", admin: addresses[1], invoke: addresses[2], relay: addresses[3],
		dir: l.Path("s"), journal: l.Path("journal"), version: "1", admins: []string{addresses[1], addresses[5]},
		planes: planes, link: addresses[4],
	}
	if err := s.write("lambdalocal.yaml", lambdaYAML, values); err != nil {
		return nil, err
	}
	local, err := l.Start("lambdalocal", nil, "build/lambdalocal", "run", "--config", l.Path("lambdalocal.yaml"))
	if err != nil {
		return nil, err
	}
	if err := lab.Until(ctx, "lambdalocal", local, lab.Listens(s.invoke)); err != nil {
		return nil, err
	}
	if o.Leader {
		return s, s.startLeader(ctx, values)
	}
	if err := s.write("controlplane.yaml", controlYAML, values); err != nil {
		return nil, err
	}
	if err := errors.Join(s.startControl(), s.startEnvoy()); err != nil {
		return nil, err
	}
	return s, s.ready(ctx)
}

func (s *stack) write(name string, text *template.Template, values map[string]any) error {
	var b strings.Builder
	if err := text.Execute(&b, values); err != nil {
		return err
	}
	_, err := s.lab.Write(name, b.String())
	return err
}

func (s *stack) startControl() (err error) {
	s.control, err = s.lab.Start("controlplane", nil, "build/lambda-dispatch", "run", s.lab.Path("controlplane.yaml"))
	return err
}

func (s *stack) startEnvoy() error {
	e, err := envoy.Start(context.Background(), envoy.Options{
		Binary: s.lab.Envoy(), Bootstrap: s.bootstrap, StateDir: s.dir, AdminAddress: "127.0.0.1:0", Concurrency: s.lab.Workers(), LogPath: s.lab.Path("envoy.log"),
	})
	if err != nil {
		return err
	}
	s.envoy = e
	s.lab.Defer(func() { e.Stop(5 * time.Second) })
	return nil
}

// ready waits until Envoy has what it needs from the control plane and the front door is open.
func (s *stack) ready(ctx context.Context) error {
	err := lab.Until(ctx, "control plane", s.control, func() error { return s.call(http.MethodGet, "http://"+s.admin+"/readyz", nil) })
	if err != nil {
		return err
	}
	return lab.Until(ctx, "front door", nil, lab.Listens(s.front))
}

// call sends a body, if there is one, as JSON. An answer that is no success is an error.
func (s *stack) call(method, url string, body any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, said)
	}
	return nil
}
