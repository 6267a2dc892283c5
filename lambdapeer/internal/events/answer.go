package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxText is how many bytes of an answer are repeated in an error.
const maxText = 1 << 10

// answer is what gateways, function URLs and load balancers read.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	StatusDescription string              `json:"statusDescription,omitempty"` // load balancers
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies           []string            `json:"cookies,omitempty"` // payload 2.0
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// Answer reads res to its end and returns what Lambda is to answer, at most MaxAnswer bytes. The error is an *Error.
func (e *Event) Answer(res *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, &Error{Type: "LambdaDispatch.AnswerCutShort", Message: fmt.Sprintf("the app's answer ended early: %v", err)}
	case len(body) > MaxAnswer:
		return nil, tooLarge("the body alone")
	}
	removeHopByHop(res.Header)
	if res.Request == nil || res.Request.Method != http.MethodHead {
		res.Header.Del("Content-Length") // the front end counts
	}
	v, err := e.encode(res, body)
	if err != nil {
		return nil, err
	}
	if raw, ok := v.(json.RawMessage); ok {
		return raw, nil // as the app wrote it
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, &Error{Type: "LambdaDispatch.InvalidAnswer", Message: err.Error()}
	}
	if out.Len() > MaxAnswer {
		return nil, tooLarge(fmt.Sprintf("%d bytes as JSON", out.Len()))
	}
	return out.Bytes(), nil
}

func tooLarge(what string) *Error {
	return &Error{
		Type:    "Function.ResponseSizeTooLarge",
		Message: fmt.Sprintf("the app's answer is larger than Lambda takes (%d bytes): %s", MaxAnswer, what),
	}
}

// newAnswer returns the parts that all shapes have.
func newAnswer(res *http.Response, body []byte) *answer {
	a := &answer{StatusCode: res.StatusCode, Headers: map[string]string{}}
	if plain(res.Header, body) {
		a.Body = string(body)
	} else {
		a.Body, a.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return a
}

// joined sets one value for each header.
func (a *answer) joined(h http.Header, separator string) *answer {
	for name, values := range h {
		a.Headers[name] = strings.Join(values, separator)
	}
	return a
}

func encodeV2(res *http.Response, body []byte) (any, error) {
	a := newAnswer(res, body)
	a.Cookies = res.Header["Set-Cookie"]
	res.Header.Del("Set-Cookie")
	return a.joined(res.Header, ","), nil
}

func encodeV1(res *http.Response, body []byte) (any, error) {
	a := newAnswer(res, body)
	a.MultiValueHeaders = res.Header
	return a, nil
}

// encodeMulti answers a load balancer with multi-value headers.
func encodeMulti(res *http.Response, body []byte) (any, error) {
	a := newAnswer(res, body)
	a.StatusDescription = description(res.StatusCode)
	a.MultiValueHeaders = res.Header
	return a, nil
}

// encodeSingle answers a load balancer without multi-value headers, or VPC Lattice. Cookies cannot be joined: the last one is
// sent.
func encodeSingle(res *http.Response, body []byte) (any, error) {
	a := newAnswer(res, body)
	a.StatusDescription = description(res.StatusCode)
	if cookies := res.Header["Set-Cookie"]; len(cookies) > 1 {
		res.Header["Set-Cookie"] = cookies[len(cookies)-1:]
	}
	return a.joined(res.Header, ", "), nil
}

func description(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// plain tells whether a body can stand in JSON as it is.
func plain(h http.Header, body []byte) bool {
	if len(body) == 0 {
		return true
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return false
	}
	return textual(h.Get("Content-Type")) && utf8.Valid(body)
}

// textual tells whether a media type is one of text. A body of no type counts: its bytes decide.
func textual(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	switch media {
	case "", "application/json", "application/javascript", "application/xml", "application/x-www-form-urlencoded",
		"application/x-ndjson", "application/yaml", "application/graphql":
		return true
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml")
}

// result is the answer to an event that is not an HTTP request: the body, if the status is 2xx. JSON is sent as it is, and text
// becomes a JSON string: an error would make Lambda send the event again.
func result(res *http.Response, body []byte) (any, error) {
	if res.StatusCode/100 != 2 {
		return nil, &Error{
			Type:    fmt.Sprintf("LambdaDispatch.Status%d", res.StatusCode),
			Message: fmt.Sprintf("the app answered the event with %s: %s", description(res.StatusCode), excerpt(body)),
		}
	}
	switch {
	case len(body) == 0:
		return nil, nil
	case json.Valid(body):
		return json.RawMessage(body), nil
	case utf8.Valid(body):
		return string(body), nil
	default:
		return nil, &Error{Type: "LambdaDispatch.InvalidAnswer", Message: "the app answered the event with neither JSON nor text"}
	}
}

func excerpt(body []byte) string {
	return strings.ToValidUTF8(strings.TrimSpace(string(body[:min(len(body), maxText)])), "")
}
