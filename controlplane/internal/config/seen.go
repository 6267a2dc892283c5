package config

import (
	"path/filepath"
	"regexp"
	"strings"
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
