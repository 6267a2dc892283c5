package dev

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
)

// crashes tells of apps that end while they take requests. An app that ends before is one that does not start.
type crashes struct {
	mu           sync.Mutex        // guards everything below
	environments map[string]string // of invocations that have begun, by request id
	ready        map[string]bool   // instances that take requests, by id
}

// begun reads in lambdalocal's log which environment an invocation runs in.
func (c *crashes) begun(entry map[string]any) {
	_, rest, found := strings.Cut(text(entry, "msg"), "START RequestId: ")
	if !found {
		return
	}
	id, _, _ := strings.Cut(rest, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.environments == nil || len(c.environments) >= maxEnvironments {
		c.environments = map[string]string{}
	}
	c.environments[id] = text(entry, "environment")
}

// see reads the control plane's log. It returns the environment of an app that has crashed while it took requests.
func (c *crashes) see(entry map[string]any) (environment string, crashed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	instance, request := text(entry, "instance"), text(entry, "request_id")
	switch text(entry, "msg") {
	case "instance is ready":
		if c.ready == nil {
			c.ready = map[string]bool{}
		}
		c.ready[instance] = true
	case "instance ended", "instance failed":
		environment = c.environments[request]
		crashed = c.ready[instance] && text(entry, "cause") == "crashed"
		delete(c.environments, request)
		delete(c.ready, instance)
	}
	return environment, crashed
}

// sayCrash says how an app has ended.
func (s *session) sayCrash(environment string, entry map[string]any) {
	_, how, _ := strings.Cut(text(entry, "detail"), "Runtime exited with error: ")
	what := fmt.Sprintf("app %d ended (%s)", s.say.number(environment), cmp.Or(how, "exit status 0"))
	if requests := text(entry, "in_flight"); requests != "" {
		what += " while it served " + requests
	}
	if s.Min > 0 {
		what += "; another one starts"
	}
	s.say.line("%s", what)
}
