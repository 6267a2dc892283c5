package events

import (
	"encoding/json"
	"net/http"
)

// StreamType is the content type of a streamed answer that begins with a prelude.
const StreamType = "application/vnd.awslambda.http-integration-response"

// separator lies between the prelude and the body.
var separator = make([]byte, 8)

// Prelude is how a streamed answer begins: status and headers, before the body as it is.
func Prelude(res *http.Response) []byte {
	removeHopByHop(res.Header)
	if res.Request == nil || res.Request.Method != http.MethodHead {
		res.Header.Del("Content-Length")
	}
	begin := struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Cookies    []string          `json:"cookies,omitempty"`
	}{StatusCode: res.StatusCode, Cookies: res.Header["Set-Cookie"]}
	res.Header.Del("Set-Cookie")
	begin.Headers = (&answer{Headers: map[string]string{}}).joined(res.Header, ",").Headers
	text, _ := json.Marshal(begin) // strings and numbers only
	return append(text, separator...)
}
