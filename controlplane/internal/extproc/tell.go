package extproc

import (
	"context"
	"fmt"
	"sync"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// wishes are what a request's route wants to know beyond the endpoint.
type wishes struct {
	tell   bool // what it waited for, for logs and traces
	timing bool // the same, for its client
}

func (w wishes) any() bool { return w.tell || w.timing }

// wishesOf reads them from the stream. A client gets a Server-Timing if its request says the word that its route asks for.
func wishesOf(ctx context.Context) (w wishes) {
	whom := said(ctx, TellKey)
	if whom == "" {
		return w
	}
	w.tell = whom != TellClients
	if whom != TellLogs {
		word := said(ctx, TimingWordKey)
		w.timing = word != "" && said(ctx, TimingKey) == word
	}
	return w
}

// metadata is what Envoy is told.
func (w wishes) metadata(endpoint string, wait admission.Wait) map[string]*structpb.Value {
	fields := map[string]*structpb.Value{EndpointKey: structpb.NewStringValue(endpoint)}
	if w.tell {
		fields[InstanceKey] = structpb.NewStringValue(wait.Instance)
		fields[QueueKey] = structpb.NewNumberValue(admission.Millis(wait.Queue))
		fields[StartKey] = structpb.NewStringValue(string(wait.Start))
	}
	if w.timing {
		fields[ServerTimingKey] = structpb.NewStringValue(serverTiming(wait))
	}
	return fields
}

// serverTiming is the value of the header Server-Timing (W3C Server Timing): times in milliseconds.
func serverTiming(wait admission.Wait) string {
	queue := fmt.Sprintf("queue;dur=%v", admission.Millis(wait.Queue))
	if wait.Start == admission.NoStart {
		return queue
	}
	return fmt.Sprintf("%s, start;desc=%s;dur=%v", queue, wait.Start, admission.Millis(wait.ForStart()))
}

// told keeps the last reply about each endpoint to a request that did not wait, ready encoded: as many as endpoint names.
type told struct {
	byEndpoint sync.Map // endpoint: tale
}

// A tale holds as long as the endpoint is the same instance's.
type tale struct {
	instance string
	reply    *extprocv3.ProcessingResponse
}

// to is replies.to with what Envoy is told of a request that did not wait.
func (t *told) to(endpoint string, wait admission.Wait) *extprocv3.ProcessingResponse {
	if known, ok := t.byEndpoint.Load(endpoint); ok && known.(tale).instance == wait.Instance {
		return known.(tale).reply
	}
	reply := frozen(dispatched(wishes{tell: true}.metadata(endpoint, wait)))
	t.byEndpoint.Store(endpoint, tale{wait.Instance, reply})
	return reply
}
