package extproc

import (
	"net/http"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// An answer is what a client gets for a cause.
type answer struct {
	status int
	retry  bool // send Retry-After even if it is not known when another try helps
	title  string
}

// answers is the only table from causes to HTTP. A cause that is not in it is answered like Unknown.
var answers = map[admission.Cause]answer{
	admission.QueueFull:    {http.StatusServiceUnavailable, true, "Too many requests are waiting"},
	admission.QueueTimeout: {http.StatusGatewayTimeout, false, "The request waited too long"},
	admission.AppStarting:  {http.StatusGatewayTimeout, false, "The function is still starting"},
	admission.Closed:       {http.StatusServiceUnavailable, true, "The service is shutting down"},
	admission.Canceled:     {http.StatusServiceUnavailable, true, "The request was canceled"},
	admission.Overload:     {http.StatusServiceUnavailable, true, "Too many requests at once"},
	admission.NoLeader:     {http.StatusServiceUnavailable, true, "The service is taken over at the moment"},

	admission.UnknownFunction: {http.StatusNotFound, false, "There is no such function"},
	admission.Disabled:        {http.StatusNotFound, false, "There is no such function"},

	admission.Denied:        {http.StatusBadGateway, false, "The function may not be invoked"},
	admission.NotFound:      {http.StatusBadGateway, false, "The function was not found"},
	admission.TooLarge:      {http.StatusBadGateway, false, "The function cannot be invoked"},
	admission.Recursive:     {http.StatusBadGateway, false, "The function is called in a loop"},
	admission.InitFailed:    {http.StatusBadGateway, false, "The function does not start"},
	admission.AppUnhealthy:  {http.StatusBadGateway, false, "The function does not become ready"},
	admission.Crashed:       {http.StatusBadGateway, false, "The function crashes"},
	admission.TimedOut:      {http.StatusBadGateway, false, "The function runs out of time"},
	admission.FunctionError: {http.StatusBadGateway, false, "The function answers with an error"},
	admission.Untrusted:     {http.StatusBadGateway, false, "The function does not take orders from here"},
	admission.StartTimeout:  {http.StatusBadGateway, false, "The function does not start in time"},
	admission.TooShort:      {http.StatusBadGateway, false, "The function does not run long enough to serve"},

	admission.NoEnvoy:   {http.StatusServiceUnavailable, true, "The function cannot be reached"},
	admission.Throttled: {http.StatusServiceUnavailable, true, "The function is throttled"},
	admission.Network:   {http.StatusServiceUnavailable, true, "The function cannot be reached"},
	admission.Unknown:   {http.StatusServiceUnavailable, true, "The function is unavailable"},

	admission.Malformed: {http.StatusInternalServerError, false, "The proxy is misconfigured"},
	admission.Internal:  {http.StatusInternalServerError, false, "Internal error"},
}

// A problem is one refusal, ready to be sent.
type problem struct {
	answer
	cause      admission.Cause
	retryAfter string // value of Retry-After in seconds; empty: no such header
}

func problemOf(refused *admission.Error) problem {
	p := problem{cause: refused.Cause}
	var known bool
	if p.answer, known = answers[p.cause]; !known {
		p.cause = admission.Unknown
		p.answer = answers[p.cause]
	}
	if p.retry || refused.RetryAfter > 0 {
		p.retryAfter = wholeSeconds(refused.RetryAfter)
	}
	return p
}

// wholeSeconds rounds up, because a client that comes too early is refused again. The least is 1.
func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(max(int64((d+time.Second-1)/time.Second), 1), 10)
}

// body is the problem document (RFC 9457). It holds texts from the tables only, so nothing needs escaping and nothing
// about instances or accounts can leak.
func (p problem) body() []byte {
	return []byte(`{"type":"about:blank","title":"` + p.title + `","status":` + strconv.Itoa(p.status) +
		`,"cause":"` + string(p.cause) + `"}`)
}
