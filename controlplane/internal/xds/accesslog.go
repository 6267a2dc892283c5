package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	valuev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// metadataOf is Envoy's format string for a value that the control plane has set for a request.
func metadataOf(key string) string {
	return "%DYNAMIC_METADATA(" + extproc.MetadataNamespace + ":" + key + ")%"
}

// functionKey is the key in a route's metadata that names its function.
const functionKey = "function"

// fields are the fields of an access log line. docs/operating.md explains them.
func fields() map[string]string {
	return map[string]string{
		"time":          "%START_TIME(%Y-%m-%dT%H:%M:%E3SZ)%",
		"method":        "%REQUEST_HEADER(:METHOD)%",
		"host":          "%REQUEST_HEADER(:AUTHORITY)%",
		"path":          "%FILTER_STATE(" + pathState + ":PLAIN)%",
		"protocol":      "%PROTOCOL%",
		"client":        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
		"request_id":    "%REQUEST_HEADER(X-REQUEST-ID)%",
		"trace_id":      "%TRACE_ID%",
		"status":        "%RESPONSE_CODE%",
		"cause":         "%RESPONSE_HEADER(" + extproc.CauseHeader + ")%",
		"flags":         "%RESPONSE_FLAGS%",
		"details":       "%RESPONSE_CODE_DETAILS%",
		"function":      "%METADATA(ROUTE:" + extproc.MetadataNamespace + ":" + functionKey + ")%",
		"instance":      metadataOf(extproc.InstanceKey),
		"queue_ms":      metadataOf(extproc.QueueKey),
		"start":         metadataOf(extproc.StartKey),
		"attempts":      "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
		"first_byte_ms": "%RESPONSE_DURATION%",
		"duration_ms":   "%DURATION%",
		"bytes_in":      "%BYTES_RECEIVED%",
		"bytes_out":     "%BYTES_SENT%",
	}
}

// accessLog configures what Envoy logs about a listener's requests; nil if there is no access log.
func accessLog(l config.AccessLog, of config.Listener) []*accesslogv3.AccessLog {
	if l.To == "" {
		return nil
	}
	format := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, text := range fields() {
		format.Fields[name] = structpb.NewStringValue(text)
	}
	line := &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format},
	}
	var to proto.Message
	name := "envoy.access_loggers.stdout"
	if l.To == config.ToStdout {
		to = &streamv3.StdoutAccessLog{AccessLogFormat: &streamv3.StdoutAccessLog_LogFormat{LogFormat: line}}
	} else {
		name = "envoy.access_loggers.file"
		to = &filev3.FileAccessLog{Path: l.To, AccessLogFormat: &filev3.FileAccessLog_LogFormat{LogFormat: line}}
	}
	return []*accesslogv3.AccessLog{{
		Name: name, Filter: worthALine(of), ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: pack(to)},
	}}
}

// worthALine leaves out refusals that Envoy follows by itself, because the request is logged when it has its answer. It also
// leaves out a load balancer's health checks, which never end.
func worthALine(l config.Listener) *condition {
	final := some(below(wire.RefusedStatus), above(wire.RefusedStatus), expression("response.code_details != 'internal_redirect'"))
	if l.HealthPath == "" {
		return final
	}
	question := header(":path", exact(l.HealthPath))
	question.InvertMatch = true
	return all(requestHeader(question), final)
}

// pathState keeps the original path of a request, because a route may rewrite it.
const pathState = "lambda-dispatch.path"

// keepPath is the filter that sets pathState. For a request that an instance has refused, it is the path that this instance was
// sent.
func keepPath(cfg *config.Config) []*hcmv3.HttpFilter {
	if !told(cfg) {
		return nil
	}
	path := "%PATH(NQ)%"
	if cfg.AccessLog.Query {
		path = "%PATH(WQ)%"
	}
	return []*hcmv3.HttpFilter{{
		Name: "envoy.filters.http.set_filter_state",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&filterstatev3.Config{
			OnRequestHeaders: []*valuev3.FilterStateValue{{
				Key:        &valuev3.FilterStateValue_ObjectKey{ObjectKey: pathState},
				FactoryKey: "envoy.string",
				Value: &valuev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
					Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
						Specifier: &corev3.DataSource_InlineString{InlineString: path},
					}},
				}},
			}},
		})},
	}}
}
