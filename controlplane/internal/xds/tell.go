package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// Logs, traces and clients may be told what a request waited for. Its route asks the control plane for that only if one of them
// wants it.

// told says whether logs or traces want to know about each request.
func told(cfg *config.Config) bool { return cfg.AccessLog.To != "" || traced(cfg) }

// metadata names the function for logs, also for requests about which the control plane is not asked.
func (r routed) metadata() *corev3.Metadata {
	if !r.tell {
		return nil
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		extproc.MetadataNamespace: {Fields: map[string]*structpb.Value{functionKey: structpb.NewStringValue(r.function.Name)}},
	}}
}

// wishes ask the control plane for more than the endpoint.
func (r routed) wishes() []*corev3.HeaderValue {
	timing := r.function.ServerTiming
	switch {
	case r.tell && timing.Enabled:
		return append(timingWords(timing), &corev3.HeaderValue{Key: extproc.TellKey, Value: extproc.TellBoth})
	case timing.Enabled:
		return append(timingWords(timing), &corev3.HeaderValue{Key: extproc.TellKey, Value: extproc.TellClients})
	case r.tell:
		return []*corev3.HeaderValue{{Key: extproc.TellKey, Value: extproc.TellLogs}}
	}
	return nil
}

// timingWords are the value that a request's header must have to get Server-Timing, and the value that it has.
func timingWords(t config.ServerTiming) []*corev3.HeaderValue {
	word, said := "1", "1"
	if t.Header != nil {
		word, said = strings.ReplaceAll(t.Header.Value, "%", "%%"), "%REQUEST_HEADER("+t.Header.Name+")%"
	}
	return []*corev3.HeaderValue{{Key: extproc.TimingWordKey, Value: word}, {Key: extproc.TimingKey, Value: said}}
}

// serverTiming adds the header if the control plane has set its value. The app's own header stays beside it.
func (r routed) serverTiming() []*corev3.HeaderValueOption {
	if !r.function.ServerTiming.Enabled {
		return nil
	}
	return []*corev3.HeaderValueOption{{
		Header:       &corev3.HeaderValue{Key: "server-timing", Value: metadataOf(extproc.ServerTimingKey)},
		AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}}
}
