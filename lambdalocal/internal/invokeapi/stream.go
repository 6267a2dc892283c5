package invokeapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"sync"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// maxChunk is how much of an answer that is sent in pieces goes into one event.
const maxChunk = 64 << 10

// stream is InvokeWithResponseStream. The answer begins with its first chunk; an error before that is an ordinary one.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	c, err := h.call(r)
	w.Header().Set("X-Amzn-RequestId", c.inv.ID)
	if err == nil {
		err = oneOf(c.kind, "invocationType", kindSync, kindDryRun)
	}
	if err != nil || c.kind == kindDryRun {
		h.endEarly(w, r, c, err)
		return
	}
	s := &stream{w: w, version: c.inv.Version}
	c.inv.Stream = s.chunk
	result, err := c.function.Invoke(r.Context(), c.wanted())
	streamed := s.close()
	switch {
	case err != nil && !streamed:
		h.refuse(w, r, c, err)
	case err != nil:
		s.complete(completion{ErrorCode: "ServiceException", ErrorDetails: err.Error()})
	default:
		h.ended(c, result)
		s.end(result, streamed, c.tail)
	}
}

func (h *Handler) endEarly(w http.ResponseWriter, r *http.Request, c call, err error) {
	if err != nil {
		h.refuse(w, r, c, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// A stream answers with events. The runtime's chunks come from another goroutine, which may outlive the request.
type stream struct {
	w       http.ResponseWriter
	version string

	mu     sync.Mutex
	begun  bool
	closed bool
}

// A completion is the payload of the last event.
type completion struct {
	ErrorCode    string `json:"ErrorCode,omitempty"`
	ErrorDetails string `json:"ErrorDetails,omitempty"`
	LogResult    string `json:"LogResult,omitempty"`
}

var errStreamClosed = errors.New("the caller of the stream has gone")

// chunk is the invocation's Stream.
func (s *stream) chunk(part []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errStreamClosed
	}
	return s.send("PayloadChunk", "application/octet-stream", part)
}

// close ends the runtime's access, and says whether it sent anything.
func (s *stream) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.begun
}

// end sends what the result has beyond what was streamed. It is called after close.
func (s *stream) end(result environment.Result, streamed, tail bool) {
	var last completion
	if tail {
		last.LogResult = base64.StdEncoding.EncodeToString(result.Tail)
	}
	if result.Outcome != environment.Succeeded {
		last.ErrorCode, last.ErrorDetails = result.ErrorType, string(result.Payload)
	} else if !streamed && s.inPieces(result.Payload) != nil {
		return // the caller has gone
	}
	s.complete(last)
}

func (s *stream) inPieces(payload []byte) error {
	for len(payload) > 0 {
		n := min(len(payload), maxChunk)
		if err := s.send("PayloadChunk", "application/octet-stream", payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return nil
}

func (s *stream) complete(last completion) {
	payload, _ := json.Marshal(last)
	_ = s.send("InvokeComplete", "application/json", payload)
}

func (s *stream) send(event, contentType string, payload []byte) error {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
		s.w.Header().Set("X-Amz-Executed-Version", s.version)
	}
	if _, err := s.w.Write(encodeEvent(event, contentType, payload)); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}
