package main

import (
	"fmt"
	"strings"
)

// welcome tells what to do next.
func (w *workspace) welcome() string {
	first, last := w.functions[0], w.functions[len(w.functions)-1]
	return fmt.Sprintf(`
Lambda Dispatch is up.

  front door   http://%[1]s/   functions: /%[4]s
  status page  http://%[2]s/   in a browser; to curl it lists the API: metrics, functions, instances
  Envoy admin  http://%[3]s/stats   also /clusters, /listeners, /ready
  local Lambda http://%[8]s/   lists what it has: the bill, environments, faults to inject
%[7]s
In a second terminal, try:
  curl http://%[1]s/%[5]s/hello
  for i in $(seq 20); do curl -s "http://%[1]s/%[6]s/sleep?ms=5000" & done
  build/lambda-dispatch status --admin %[2]s   # while they run: an idle instance ends at once, because its
      # environment stays warm and a start of it takes some 10 ms
  curl http://%[8]s/lambdalocal/ledger
And deploy version 2 of /go: the log below says how it takes over.
  curl -X PUT http://%[8]s/2015-03-31/functions/go/aliases/live -d '{"FunctionVersion":"2"}'

Ctrl-C stops everything. What instances do is logged here:

`, w.front, w.admin, w.envoyAdmin, strings.Join(w.functions, " /"), first, last, notes(w.notes), w.lambda)
}

func notes(list []string) string {
	var text strings.Builder
	for _, note := range list {
		fmt.Fprintf(&text, "\n  Note: %s\n", note)
	}
	return text.String()
}
