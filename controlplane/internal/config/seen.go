package config

import (
	"math"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func (a AccessLog) validate(p *problems) {
	if a.To == "" {
		if a.Query {
			p.add("access_log.query", "has no effect, because access_log.to is empty")
		}
		return
	}
	if a.To != ToStdout && !filepath.IsAbs(a.To) {
		p.add("access_log.to", "must be stdout or an absolute path, got %q", a.To)
	}
}

func (t Tracing) validate(p *problems) {
	if t.Endpoint != "" {
		endpoint, err := url.Parse(t.Endpoint)
		if err != nil || endpoint.Scheme != "http" || endpoint.Hostname() == "" || t.Endpoint != "http://"+endpoint.Host {
			p.add("tracing.endpoint", "must be http:// with host and port alone, such as http://127.0.0.1:4317, got %q", t.Endpoint)
		} else if port, err := strconv.ParseUint(endpoint.Port(), 10, 16); err != nil || port == 0 {
			p.add("tracing.endpoint", "must have a port, such as http://127.0.0.1:4317, got %q", t.Endpoint)
		}
	}
	within(p, "tracing.sampling", t.Sampling, 0, 1)
	if math.IsNaN(t.Sampling) {
		p.add("tracing.sampling", "must be a number")
	}
}

// cloudWatchName are CloudWatch's own rules.
var cloudWatchName = regexp.MustCompile(`^[A-Za-z0-9._/#:-]{1,255}$`)

func (e EMF) validate(p *problems) {
	if e.Interval != 0 {
		within(p, "emf.interval", e.Interval, time.Second, time.Hour)
	}
	if !cloudWatchName.MatchString(e.Namespace) || strings.HasPrefix(e.Namespace, "AWS/") {
		p.add("emf.namespace", "must be a namespace of CloudWatch that does not begin with AWS/, got %q", e.Namespace)
	}
}

// plainHeader are the names of headers that Envoy's formats can name.
var plainHeader = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (s ServerTiming) validate(p *problems, path string) {
	if s.Header == nil {
		return
	}
	if !s.Enabled {
		p.add(path+".header", "has no effect, because enabled is false")
	}
	checkHeader(p, path+".header", *s.Header)
	name := strings.ToLower(s.Header.Name)
	switch {
	case !plainHeader.MatchString(name):
		p.add(path+".header.name", "must be letters, digits, - and _, got %q", s.Header.Name)
	case strings.HasPrefix(name, "lambda-dispatch-"), strings.HasPrefix(name, "x-envoy-"), strings.HasPrefix(name, "x_forwarded"),
		strings.HasPrefix(name, "x-forwarded_"):
		p.add(path+".header.name", "is removed from every request: %s", s.Header.Name)
	}
	if s.Header.Value == "-" {
		p.add(path+".header.value", "must not be -, which stands for no header")
	}
}
