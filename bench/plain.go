package main

import (
	"context"
	_ "embed"
	"fmt"
	"net"
	"strings"
	"text/template"

	"github.com/lambda-dispatch/lambda-dispatch/bench/lab"
)

//go:embed plain.yaml
var plainYAML string

var plainTemplate = template.Must(template.New("plain.yaml").Parse(plainYAML))

// An address is host:port as Envoy wants it.
type address struct{ Host, Port string }

func splitAddress(hostPort string) (address, error) {
	host, port, err := net.SplitHostPort(hostPort)
	return address{host, port}, err
}

// startPlain runs the apps on TCP ports behind a plain Envoy: the same HTTP settings, a static configuration, no control
// plane.
func startPlain(ctx context.Context, l *lab.Lab, apps int) (*system, error) {
	s := &system{name: "plain", pids: map[string][]int{}}
	addresses, err := lab.FreeAddresses(apps + 1)
	if err != nil {
		return nil, err
	}
	s.front = addresses[apps]
	upstreams := addresses[:apps]
	for n, at := range upstreams {
		port := at[strings.LastIndexByte(at, ':')+1:]
		app, err := l.Start(fmt.Sprintf("plain-app-%d", n), []string{"PORT=" + port}, appBinary)
		if err != nil {
			return nil, err
		}
		if err := lab.Until(ctx, "app", app, lab.Listens(at)); err != nil {
			return nil, err
		}
		s.pids[roleApps] = append(s.pids[roleApps], app.PID())
	}
	return s, s.startPlainEnvoy(ctx, l, upstreams)
}

func (s *system) startPlainEnvoy(ctx context.Context, l *lab.Lab, upstreams []string) error {
	config, err := plainConfig(s.front, upstreams)
	if err != nil {
		return err
	}
	path, err := l.Write("plain.yaml", config)
	if err != nil {
		return err
	}
	p, err := l.Start("plain-envoy", nil, l.Envoy(), "--config-path", path, "--log-level", "warning",
		"--disable-hot-restart", "--concurrency", fmt.Sprint(l.Workers()))
	if err != nil {
		return err
	}
	s.pids[roleEnvoy] = []int{p.PID()}
	return lab.Until(ctx, "plain Envoy", p, lab.Listens(s.front))
}

func plainConfig(front string, upstreams []string) (string, error) {
	var data struct {
		Front     address
		Upstreams []address
	}
	var err error
	if data.Front, err = splitAddress(front); err != nil {
		return "", err
	}
	for _, u := range upstreams {
		a, err := splitAddress(u)
		if err != nil {
			return "", err
		}
		data.Upstreams = append(data.Upstreams, a)
	}
	var out strings.Builder
	err = plainTemplate.Execute(&out, data)
	return out.String(), err
}

const (
	appBinary     = "build/bench-app"
	controlBinary = "build/lambda-dispatch"
)
