package proxy

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/problem"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// ErrMalformed is wrapped by errors that say why an answer is not HTTP.
var ErrMalformed = errors.New("malformed answer")

// checkAnswer refuses an answer that cannot be passed on, and removes the peer's own headers, also from the 101 of an upgrade,
// which the gate does not see.
func checkAnswer(r *http.Response) error {
	r.Header.Del(wire.RefusedHeader)
	r.Header.Del(wire.CauseHeader)
	switch {
	case r.StatusCode < http.StatusContinue, r.StatusCode > 999:
		return fmt.Errorf("%w: status %d", ErrMalformed, r.StatusCode)
	case r.StatusCode == http.StatusSwitchingProtocols:
		asked, got := r.Request.Header.Get("Upgrade"), r.Header.Get("Upgrade")
		if asked == "" || !strings.EqualFold(asked, got) {
			return fmt.Errorf("%w: the app upgrades to %q, the client asked for %q", ErrMalformed, got, asked)
		}
	case r.StatusCode == http.StatusNoContent, r.StatusCode == http.StatusNotModified:
		r.Body = noContent{r.Body}
	}
	return nil
}

// noContent is the body of an answer that has none, whatever length it states: a 304 states that of the answer to a full GET.
// Over HTTP/2 net/http waits for the bytes and reports that they are missing.
type noContent struct {
	io.ReadCloser
}

// Read implements io.Reader. It blocks until the answer has ended.
func (b noContent) Read(p []byte) (int, error) {
	_, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return 0, err
}

// broken tells whether the connection to the app, rather than what the app sent, is why there is no answer.
func broken(err error) bool {
	var failed *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &failed)
}

// fail answers for an app that did not. A client that has left gets none: its request is aborted.
func fail(w http.ResponseWriter, r *http.Request, err error, log *slog.Logger) {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	log.Warn("app did not answer", "error", err)
	if errors.Is(err, ErrMalformed) {
		problem.AnswerInvalid.Write(w)
		return
	}
	if o := problem.OwnerOf(w); unseen(err) && o != nil && o.Refuse() {
		return
	}
	problem.NoAnswer.Write(w)
}

// unseen tells whether the app cannot have seen the request, because no connection to it came about: its process may have ended
// just now.
func unseen(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}
