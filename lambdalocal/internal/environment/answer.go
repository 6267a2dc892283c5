package environment

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxAnswer is Lambda's limit on the answer of an invocation, in bytes, maxStream that on a streamed one.
	maxAnswer = 6<<20 + 100
	maxStream = 200 << 20
	// maxDrain is how much more of an answer that is too large is read and thrown away, so that the runtime, still writing,
	// gets to read why.
	maxDrain = 64 << 20

	modeHeader      = "Lambda-Runtime-Function-Response-Mode"
	streamingMode   = "streaming"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
)

// An answer is what the runtime posted.
type answer struct {
	body      []byte
	errorType string // empty: a response
	truncated bool   // the runtime broke off; if a process failed too, that failure is reported instead
}

func (a *answer) result() Result {
	if a.errorType != "" {
		return Result{Outcome: Errored, ErrorType: a.errorType, Payload: a.body}
	}
	return Result{Outcome: Succeeded, Payload: a.body}
}

var errTooLarge = errors.New("answer is too large")

// response takes the answer of a function that succeeded, or failed while it streamed.
func (b *boot) response(w http.ResponseWriter, r *http.Request) {
	inv, refused := b.enter(r, runtimeResponding)
	if refused != nil {
		refuse(w, refused)
		return
	}
	if mode := r.Header.Get(modeHeader); mode != "" && mode != streamingMode {
		b.finish(inv, &answer{errorType: "Runtime.InvalidResponseModeHeader", body: []byte{}})
		refuse(w, &refusal{http.StatusBadRequest, "InvalidFunctionResponseMode", "Invalid function response mode"})
		return
	}
	body, err := b.receive(inv, r)
	switch {
	case errors.Is(err, errTooLarge):
		b.overflow(w, r, inv, limitOf(inv))
	case err != nil:
		b.breakOff(w, inv)
	default:
		b.finish(inv, withTrailers(body, r.Trailer))
		accept(w)
	}
}

// receive passes the body on to the caller, or keeps it if it is to be answered whole.
func (b *boot) receive(inv *invocation, r *http.Request) ([]byte, error) {
	kept := bytes.NewBuffer(make([]byte, 0, max(0, min(r.ContentLength, maxAnswer))))
	pass := func(chunk []byte) { _, _ = kept.Write(chunk) }
	if inv.Stream != nil {
		pass = inv.stream
	}
	if inv.Kind != nil && r.Header.Get(modeHeader) == streamingMode {
		inv.Kind(r.Header.Get("Content-Type"))
	}
	chunk := make([]byte, 32<<10)
	for size := 0; ; {
		n, err := r.Body.Read(chunk)
		if size += n; size > limitOf(inv) {
			return nil, errTooLarge
		}
		if n > 0 {
			b.progress(inv, n)
			pass(chunk[:n])
		}
		switch {
		case err == io.EOF:
			return kept.Bytes(), nil
		case err != nil:
			return nil, err
		}
	}
}

func limitOf(inv *invocation) int {
	if inv.Stream != nil {
		return maxStream
	}
	return maxAnswer
}

func (b *boot) progress(inv *invocation, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if inv.produced == 0 {
		inv.responded = time.Now()
	}
	inv.produced += n
}

// withTrailers makes an error of a response during which the function failed.
func withTrailers(body []byte, trailers http.Header) *answer {
	kind := trailers.Get(errorTypeHeader)
	if kind == "" {
		return &answer{body: body}
	}
	text, err := base64.StdEncoding.DecodeString(trailers.Get(errorBodyHeader))
	if err != nil || !json.Valid(text) {
		text = describe(kind, string(text))
	}
	return &answer{body: text, errorType: kind}
}

// invocationError takes the answer of a function that failed.
func (b *boot) invocationError(w http.ResponseWriter, r *http.Request) {
	inv, refused := b.enter(r, runtimeErring)
	if refused != nil {
		refuse(w, refused)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	switch {
	case err != nil:
		b.breakOff(w, inv)
	case len(body) > maxAnswer:
		b.overflow(w, r, inv, maxAnswer)
	default:
		b.finish(inv, &answer{body: body, errorType: functionErrorType(r.Header.Get(errorTypeHeader))})
		accept(w)
	}
}

func (b *boot) overflow(w http.ResponseWriter, r *http.Request, inv *invocation, limit int) {
	b.finish(inv, tooLargeAnswer(limit))
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
	refuse(w, oversize(limit))
}

func oversize(limit int) *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", limit)}
}

// readBody reads the body of a call. It returns false after it has refused one that is too large, and if the caller has gone.
func readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		refuse(w, oversize(limit))
	}
	return body, err == nil
}

// breakOff finishes an invocation whose answer broke off.
func (b *boot) breakOff(w http.ResponseWriter, inv *invocation) {
	const kind = "Runtime.TruncatedResponse"
	b.finish(inv, &answer{errorType: kind, truncated: true, body: describe(kind, "Response payload was truncated")})
	refuse(w, &refusal{http.StatusBadRequest, "TruncatedHTTPRequest", "HTTP request detected as truncated"})
}

// finish records the answer and hands it to the caller. It comes too late for an invocation that has ended otherwise.
func (b *boot) finish(inv *invocation, a *answer) {
	b.update(func() {
		if !b.env.cfg.Managed() {
			b.runtime = runtimeAnswered
		}
		inv.answer, inv.answered = a, time.Now()
		delete(b.late, inv.ID)
		if inv.produced == 0 {
			inv.responded, inv.produced = inv.answered, len(a.body)
		}
	})
	if inv.Answered != nil && !a.truncated {
		inv.Answered(a.result())
	}
}

func tooLargeAnswer(limit int) *answer {
	const kind = "Function.ResponseSizeTooLarge"
	message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", limit)
	return &answer{body: describe(kind, message), errorType: kind}
}

// accept flushes its answer: what was accepted may end the environment and its connections.
func accept(w http.ResponseWriter) {
	writeJSON(w, http.StatusAccepted, map[string]string{"status": "OK"})
	_ = http.NewResponseController(w).Flush()
}

func refuse(w http.ResponseWriter, r *refusal) {
	writeJSON(w, r.code, errorBody{Type: r.kind, Message: r.message})
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	text, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n'))
}
