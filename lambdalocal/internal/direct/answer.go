package direct

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// An answer is an HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// A response is what a function answers that wants to say more than a body.
type response struct {
	StatusCode      *int                `json:"statusCode"`
	Headers         map[string]any      `json:"headers"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders"`
	Cookies         []string            `json:"cookies"`
	Body            string              `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
}

var errNoResponse = errors.New("not JSON")

// parseAnswer reads a function's answer. JSON without a statusCode is itself the body of a 200.
func parseAnswer(payload []byte) (answer, error) {
	if !json.Valid(payload) && len(payload) > 0 {
		return answer{}, errNoResponse
	}
	var probe struct {
		StatusCode *json.RawMessage `json:"statusCode"`
	}
	if json.Unmarshal(payload, &probe) != nil || probe.StatusCode == nil { // no object, or one of the function's own
		return answer{status: http.StatusOK, header: contentType(http.Header{}), body: payload}, nil
	}
	var r response
	if err := json.Unmarshal(payload, &r); err != nil {
		return answer{}, err
	}
	return r.answer()
}

func (r response) answer() (answer, error) {
	if *r.StatusCode < 200 || *r.StatusCode > 599 {
		return answer{}, fmt.Errorf("statusCode must be 200 to 599, got %d", *r.StatusCode)
	}
	a := answer{status: *r.StatusCode, header: http.Header{}, body: []byte(r.Body)}
	for name, value := range r.Headers {
		text, err := headerValue(value)
		if err != nil {
			return answer{}, fmt.Errorf("headers: %s: %w", name, err)
		}
		a.header.Set(name, text)
	}
	for name, values := range r.MultiHeaders {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	for _, cookie := range r.Cookies {
		a.header.Add("Set-Cookie", cookie)
	}
	contentType(a.header)
	if r.IsBase64Encoded {
		var err error
		if a.body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			return answer{}, fmt.Errorf("body: %w", err)
		}
	}
	return a, nil
}

// headerValue takes what JSON has in place of a string, too.
func headerValue(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	default:
		return "", fmt.Errorf("must be a string, got %v", value)
	}
}

// contentType adds the one that a function need not say.
func contentType(h http.Header) http.Header {
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// framing is of the connection, not of the function.
var framing = []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Upgrade", "Trailer", "Content-Length"}

func (a answer) send(w http.ResponseWriter, r *http.Request) {
	for _, name := range framing {
		a.header.Del(name)
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body)
	}
}
