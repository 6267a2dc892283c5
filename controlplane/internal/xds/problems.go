package xds

import (
	"fmt"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// problemType is the media type of every error that Lambda Dispatch itself sends (RFC 9457).
const problemType = "application/problem+json"

// A problem is how one of Envoy's own errors looks to a client. The cause is for programs, the title for people. Envoy's own text
// is not sent, because it tells about sockets and connection states.
type problem struct {
	when   *accesslogv3.AccessLogFilter // which of Envoy's answers it stands for
	status int                          // 0: Envoy's
	title  string
	cause  string
}

// Titles and causes that are used more than once.
const (
	noFunction  = "There is no such function"
	malformed   = "The request is malformed"
	unsupported = "The request needs something that is not supported"
	overloaded  = "Too many requests at once"

	causeNoRoute     = "no_route"
	causeDisabled    = "disabled"
	causeInvalid     = "request_invalid"
	causeUnsupported = "request_unsupported"
	causeOverload    = "overload"
	causeNoInstance  = "no_instance"
	causeUnreachable = "instance_unreachable"
)

// problems are tried in order: the first whose condition holds decides. When Envoy refuses what it could not parse it sets the
// flag DPE only afterwards. So these go by their status, which answers of the control plane and refusals of routes do not have,
// or have for the same cause. The last two are for answers that we did not foresee.
var problems = []problem{
	{flagged("NR"), 0, noFunction, causeNoRoute},
	{flagged("NC"), 0, noFunction, causeNoRoute},
	{flagged("UH"), 0, "No instance is ready", causeNoInstance},
	{flagged("UT"), 0, "The function did not answer in time", "response_timeout"},
	{flagged("SI"), 0, "Nothing was sent in either direction for too long", "idle_timeout"},
	{flagged("UF"), 0, "The instance could not be reached", causeUnreachable},
	{flagged("UC"), 502, "The instance ended before it answered", "instance_lost"},
	{all(flagged("UR"), refusedStream()), 503, "The instance could not be reached", causeUnreachable},
	{flagged("UR"), 502, "The function aborted its answer", "answer_aborted"},
	{flagged("UPE"), 502, "The function's answer is malformed or its headers are too large", "answer_invalid"},
	{flagged("UO"), 0, overloaded, causeOverload},
	{flagged("OM"), 0, overloaded, causeOverload},
	{answered(431), 0, "The request's headers are too large", "headers_too_large"},
	{answered(408), 0, "The request's headers did not come in time", "request_timeout"},
	{all(answered(403), asksToUpgrade()), 501, unsupported, causeUnsupported},             // over HTTP/2 only
	{answered(403), 421, "The URL is one of https, the connection is not", "misdirected"}, // RFC 9110, 7.4
	{answered(501), 0, unsupported, causeUnsupported},
	{all(answered(404), pathless()), 0, noFunction, causeNoRoute},
	{answered(400), 0, malformed, causeInvalid},
	{flagged("DPE"), 0, malformed, causeInvalid},
	{all(below(300), asksToUpgrade(), detailed(notUpgraded)), 501, unsupported, causeUnsupported},
	{all(unexplained(), below(500)), 0, malformed, causeInvalid},
	{unexplained(), 0, "Internal error", "internal"},
}

// passing are the causes of 503 answers after which another try may succeed.
var passing = []string{causeNoInstance, causeUnreachable, causeOverload}

// Causes lists the causes of Envoy's own answers, each once. docs/operating.md says what they mean.
func Causes() []string {
	causes := []string{causeDisabled}
	for _, p := range problems {
		causes = append(causes, p.cause)
	}
	slices.Sort(causes)
	return slices.Compact(causes)
}

// localReplies makes problem documents of Envoy's errors. Answers of the control plane and refusals of routes already are. It
// also answers OPTIONS *, which only asks whether a server is there (RFC 9110, 9.3.7).
func localReplies() *hcmv3.LocalReplyConfig {
	config := &hcmv3.LocalReplyConfig{Mappers: []*hcmv3.ResponseMapper{
		{Filter: all(answered(404), asks(":path", exact("*"))), StatusCode: number(204)},
	}}
	for _, p := range problems {
		config.Mappers = append(config.Mappers, p.mapper())
	}
	return config
}

func (p problem) mapper() *hcmv3.ResponseMapper {
	mapper := &hcmv3.ResponseMapper{
		Filter: p.when,
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			ContentType: problemType,
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{
					InlineString: problemBody("%RESPONSE_CODE%", p.title, p.cause),
				},
			}},
		},
	}
	if p.status != 0 {
		mapper.StatusCode = number(p.status)
	}
	mapper.HeadersToAdd = []*corev3.HeaderValueOption{setHeader(extproc.CauseHeader, p.cause)}
	if slices.Contains(passing, p.cause) {
		mapper.HeadersToAdd = append(mapper.HeadersToAdd, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: "retry-after", Value: "1"}})
	}
	return mapper
}

func problemBody(status, title, cause string) string {
	return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%s,"cause":%q}`+"\n", title, status, cause)
}
