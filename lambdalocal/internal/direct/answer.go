package direct

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// An answer is an HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// A response is what a function answers that wants to say more than a body.
type response struct {
	status    status
	headers   map[string]any
	multi     map[string][]any
	cookies   []string
	body      text
	isEncoded bool // in base64
}

// read takes what the object says. A field that is null counts as left out, and one whose name is spelled otherwise, if only in
// capitals, is none: encoding/json alone would take it.
func (r *response) read(object map[string]json.RawMessage) error {
	for name, into := range map[string]any{
		"statusCode": &r.status, "headers": &r.headers, "multiValueHeaders": &r.multi, "cookies": &r.cookies,
		"body": &r.body, "isBase64Encoded": &r.isEncoded,
	} {
		if !says(object, name) {
			continue
		}
		if err := json.Unmarshal(object[name], into); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func says(object map[string]json.RawMessage, name string) bool {
	value, ok := object[name]
	return ok && string(value) != "null"
}

// A status may be a number or a string of digits.
type status int

// UnmarshalJSON accepts 200 to 599.
func (s *status) UnmarshalJSON(data []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(data), `"`))
	if err != nil || n < 200 || n > 599 {
		return fmt.Errorf("statusCode must be 200 to 599, got %.40s", data)
	}
	*s = status(n)
	return nil
}

// A text is a string, or any other JSON value, as short as it can be written.
type text string

// UnmarshalJSON accepts all of JSON.
func (t *text) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var short bytes.Buffer
	err := json.Compact(&short, data)
	*t = text(short.String())
	return err
}

var errNoResponse = errors.New("not JSON")

// parseAnswer reads a function's answer. JSON without a statusCode is itself the body of a 200, without needless spaces; of a string
// it is the text.
func parseAnswer(payload []byte) (answer, error) {
	var body text
	if len(payload) > 0 && json.Unmarshal(payload, &body) != nil {
		return answer{}, errNoResponse
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) != nil || !says(object, "statusCode") { // no object, or one of the function's own
		return answer{status: http.StatusOK, header: contentType(http.Header{}), body: []byte(body)}, nil
	}
	var r response
	if err := r.read(object); err != nil {
		return answer{}, err
	}
	return r.answer()
}

func (r response) answer() (answer, error) {
	header, err := r.header()
	if err != nil {
		return answer{}, err
	}
	a := answer{status: int(r.status), header: contentType(header), body: []byte(r.body)}
	if r.isEncoded {
		if a.body, err = base64.StdEncoding.DecodeString(string(r.body)); err != nil {
			return answer{}, fmt.Errorf("body: %w", err)
		}
	}
	return a, nil
}

// header puts all fields together. A multi-value entry wins for its name.
func (r response) header() (http.Header, error) {
	header := http.Header{}
	for name, value := range r.headers {
		if err := addValue(header, name, value); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
	}
	for name, values := range r.multi {
		header.Del(name)
		for _, value := range values {
			if err := addValue(header, name, value); err != nil {
				return nil, fmt.Errorf("multiValueHeaders: %w", err)
			}
		}
	}
	for _, cookie := range r.cookies {
		header.Add("Set-Cookie", cookie)
	}
	return header, nil
}

func addValue(header http.Header, name string, value any) error {
	if value == nil {
		return nil
	}
	text, err := headerValue(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	header.Add(name, text)
	return nil
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

// framing are the fields that belong to the connection, and that a function cannot set.
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
