package direct

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// A streamed answer that says more than a body has a content type of its own, and begins with its status, headers and cookies
// in JSON and eight zero bytes. Source: awslambda.HttpResponseStream of Lambda's runtime client for Node.js.
const (
	integration = "application/vnd.awslambda.http-integration-response"
	maxPrelude  = 64 << 10 // bytes
)

var separator = make([]byte, 8)

var (
	errLongPrelude   = fmt.Errorf("the beginning of a streamed answer has no end within %d bytes", maxPrelude)
	errCutPrelude    = errors.New("the streamed answer ended before its body began")
	errCallerHasGone = errors.New("the caller of the stream has gone")
)

// A stream passes an answer on as it comes. The runtime's chunks come from another goroutine, which may outlive the request.
type stream struct {
	w http.ResponseWriter

	mu      sync.Mutex // guards the fields below
	plain   string     // content type of an answer without a prelude
	prelude []byte     // what has come of it
	waits   bool       // for the prelude's end
	begun   bool       // the head is sent
	closed  bool
	wrong   error // what the function did
}

// kind is the invocation's Kind.
func (s *stream) kind(contentType string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits = contentType == integration; !s.waits {
		s.plain = contentType
	}
}

// chunk is the invocation's Stream.
func (s *stream) chunk(part []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errCallerHasGone
	case s.wrong != nil:
		return s.wrong
	case !s.waits:
		return s.send(part)
	}
	s.prelude = append(s.prelude, part...)
	head, body, found := bytes.Cut(s.prelude, separator)
	if !found && len(s.prelude) > maxPrelude {
		s.wrong = errLongPrelude
	}
	if !found {
		return s.wrong
	}
	s.waits, s.prelude = false, nil
	if s.wrong = s.begin(head); s.wrong != nil {
		return s.wrong
	}
	return s.send(body)
}

// begin sends the head that the prelude asks for.
func (s *stream) begin(prelude []byte) error {
	r := response{status: http.StatusOK}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(prelude, &object); err != nil {
		return err
	}
	if err := r.read(object); err != nil {
		return err
	}
	header, err := r.header()
	if err == nil {
		s.head(int(r.status), header)
	}
	return err
}

func (s *stream) head(status int, header http.Header) {
	s.begun = true
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", cmp.Or(s.plain, "application/octet-stream"))
	}
	for _, name := range framing {
		header.Del(name)
	}
	for name, values := range header {
		s.w.Header()[name] = values
	}
	s.w.WriteHeader(status)
}

func (s *stream) send(part []byte) error {
	if !s.begun {
		s.head(http.StatusOK, http.Header{})
	}
	if _, err := s.w.Write(part); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// close ends the runtime's access, and sends what an answer without a body still needs. begun tells whether the client has a
// part of an answer; wrong says why the function's answer is not an HTTP response.
func (s *stream) close(succeeded bool) (begun bool, wrong error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	switch {
	case !succeeded || s.wrong != nil || s.begun:
	case s.waits:
		s.wrong = errCutPrelude
	default:
		s.head(http.StatusOK, http.Header{})
	}
	return s.begun, s.wrong
}
