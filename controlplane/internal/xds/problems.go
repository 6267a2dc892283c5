package xds

import (
	"fmt"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// problemType is the media type of every error that Lambda Dispatch itself answers with (RFC 9457).
const problemType = "application/problem+json"

// A problem is how one of Envoy's own errors looks to a client. The cause is for programs, the title for people; Envoy's
// own text, which tells of sockets and connection states, stays inside.
type problem struct {
	flag   string // Envoy's response flag; empty: the status tells, and Envoy alone uses it
	status int    // 0: Envoy's
	title  string
	cause  string
}

// problems are in the order of looking: the first flag that an answer carries decides.
var problems = []problem{
	{"NR", 0, "There is no such function", "no_route"},
	{"NC", 0, "There is no such function", "no_route"},
	{"UH", 0, "No instance is ready", "no_instance"},
	{"UT", 0, "The function did not answer in time", "response_timeout"},
	{"SI", 0, "Nothing was sent in either direction for too long", "idle_timeout"},
	{"UF", 0, "The instance could not be reached", "instance_unreachable"},
	{"UC", 502, "The instance ended before it answered", "instance_lost"},
	{"UR", 502, "The function aborted its answer", "answer_aborted"},
	{"UPE", 502, "The function's answer is malformed or its headers are too large", "answer_invalid"},
	{"UO", 0, "Too many requests at once", "overload"},
	{"OM", 0, "Too many requests at once", "overload"},
	{"", 431, "The request's headers are too large", "headers_too_large"},
	{"DPE", 0, "The request is malformed", "request_invalid"},
}

// localReplies makes problem documents of Envoy's errors. Those have flags, or a status of their own; the answers of the
// control plane have neither and pass as they are.
func localReplies() *hcmv3.LocalReplyConfig {
	config := &hcmv3.LocalReplyConfig{}
	for _, p := range problems {
		config.Mappers = append(config.Mappers, p.mapper())
	}
	return config
}

func (p problem) mapper() *hcmv3.ResponseMapper {
	mapper := &hcmv3.ResponseMapper{
		Filter: p.filter(),
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
	return mapper
}

func (p problem) filter() *accesslogv3.AccessLogFilter {
	if p.flag != "" {
		return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
			ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: []string{p.flag}},
		}}
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op: accesslogv3.ComparisonFilter_EQ,
			// Envoy requires a name under which its runtime could override the number.
			Value: &corev3.RuntimeUInt32{DefaultValue: uint32(p.status), RuntimeKey: "lambda_dispatch." + p.cause},
		}},
	}}
}

func problemBody(status, title, cause string) string {
	return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%s,"cause":%q}`+"\n", title, status, cause)
}
