package xds

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/extproc"
)

// What logs and clients are told of a request, its route asks the control plane for: nobody asks where nobody wants to know.

// told says whether anybody is told what becomes of each request.
func told(cfg *config.Config) bool { return cfg.AccessLog.To != "" || traced(cfg) }

// metadata names the function, for logs, of requests that nobody is asked about too.
func (r routed) metadata() *corev3.Metadata {
	if !r.tell {
		return nil
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		extproc.MetadataNamespace: {Fields: map[string]*structpb.Value{functionKey: structpb.NewStringValue(r.function.Name)}},
	}}
}

// wishes are what the control plane is to say beyond the endpoint.
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

// timingWords are the word that a request must say to get a Server-Timing, and what it says.
func timingWords(t config.ServerTiming) []*corev3.HeaderValue {
	word, said := "1", "1"
	if t.Header != nil {
		word, said = strings.ReplaceAll(t.Header.Value, "%", "%%"), "%REQUEST_HEADER("+t.Header.Name+")%"
	}
	return []*corev3.HeaderValue{{Key: extproc.TimingWordKey, Value: word}, {Key: extproc.TimingKey, Value: said}}
}

// serverTiming adds the header if the control plane has said what it holds. An app may have one of its own.
func (r routed) serverTiming() []*corev3.HeaderValueOption {
	if !r.function.ServerTiming.Enabled {
		return nil
	}
	return []*corev3.HeaderValueOption{{
		Header:       &corev3.HeaderValue{Key: "server-timing", Value: metadataOf(extproc.ServerTimingKey)},
		AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
	}}
}
