package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/spelling"
)

// Headers that describe its event and its invocation to an app, as JSON. Their names are those of aws-lambda-web-adapter.
const (
	RequestContextHeader = "X-Amzn-Request-Context"
	ContextHeader        = "X-Amzn-Lambda-Context"
)

// maxContext bounds each of the two, in bytes: servers refuse requests with large headers.
const maxContext = 8 << 10

// Conceal removes these headers where a client has sent them.
func Conceal(h http.Header) { spelling.Remove(h, RequestContextHeader, ContextHeader) }

// reveal adds the event's request context and the invocation's. One that is too large is left out.
func reveal(h http.Header, p payload, inv Invocation) {
	about := map[string]any{"request_id": inv.RequestID, "invoked_function_arn": inv.ARN, "xray_trace_id": inv.TraceID}
	if !inv.Deadline.IsZero() {
		about["deadline"] = inv.Deadline.UnixMilli()
	}
	for name, text := range map[string]string{"client_context": inv.ClientContext, "identity": inv.Identity} {
		if json.Valid([]byte(text)) {
			about[name] = json.RawMessage(text)
		}
	}
	if text, err := json.Marshal(about); err == nil {
		setJSON(h, ContextHeader, text)
	}
	if len(p.context) > 0 {
		setJSON(h, RequestContextHeader, p.context)
	}
}

// setJSON sets a header to a JSON value on one line of ASCII.
func setJSON(h http.Header, name string, value json.RawMessage) {
	var line bytes.Buffer
	if json.Compact(&line, value) != nil {
		return
	}
	if text := ascii(line.String()); len(text) <= maxContext {
		h.Set(name, text)
	}
}

// ascii escapes the characters of JSON that are not ASCII: they are in its strings only.
func ascii(text string) string {
	var out strings.Builder
	for _, c := range text {
		switch {
		case c < 0x7f:
			out.WriteRune(c)
		case c < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, c)
		default:
			c -= 0x10000
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		}
	}
	return out.String()
}

// shorten is the event's path without the stage and the base path that the options drop.
func (o Options) shorten(p payload) string {
	path := p.path
	if o.DropStage && p.stage != "" {
		path = without(path, "/"+p.stage)
	}
	return without(path, o.BasePath)
}

// without drops a prefix that ends where a segment does.
func without(path, prefix string) string {
	rest, found := strings.CutPrefix(path, prefix)
	switch {
	case !found || prefix == "":
		return path
	case rest == "":
		return "/"
	case rest[0] != '/':
		return path
	}
	return rest
}
