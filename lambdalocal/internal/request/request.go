// Package request reads what every way to invoke a function needs from an HTTP request: its trace id, and its body within a limit.
package request

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// TraceHeader carries a request's trace id.
const TraceHeader = "X-Amzn-Trace-Id"

// MaxPayload is Lambda's limit on the event of an invocation, in bytes.
const MaxPayload = 6 << 20

// maxDrain is how much of a body that is too large is read and thrown away, so that the client, still writing, gets to read
// the answer.
const maxDrain = 64 << 20

// TraceID passes the caller's on, or makes one that is not sampled.
func TraceID(r *http.Request) string {
	if id := r.Header.Get(TraceHeader); id != "" {
		return id
	}
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), random(12), random(8))
}

// Body reads the body, of limit bytes at most. Its errors are *serviceerror.Error.
func Body(r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, serviceerror.New(serviceerror.TypeInvalidContent, "Could not read the request: %v", err)
	case int64(len(body)) > limit:
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		return nil, serviceerror.New(serviceerror.TypeTooLarge, "Request must be smaller than %d bytes for the InvokeFunction operation", limit)
	}
	return body, nil
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
