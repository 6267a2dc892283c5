package extproc

import (
	"context"
	"fmt"
	"sync"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// wishes are what a request's route asks for beyond the endpoint.
type wishes struct {
	tell   bool // what the request waited for, for logs and traces
	timing bool // the same for the client, as Server-Timing
}

func (w wishes) any() bool { return w.tell || w.timing }

// wishesOf reads the wishes from the stream's metadata. A client gets Server-Timing if its request has the word that the route
// wants.
func wishesOf(ctx context.Context) (w wishes) {
	whom := routeValue(ctx, TellKey)
	if whom == "" {
		return w
	}
	w.tell = whom != TellClients
	if whom != TellLogs {
		word := routeValue(ctx, TimingWordKey)
		w.timing = word != "" && routeValue(ctx, TimingKey) == word
	}
	return w
}

// metadata is the dynamic metadata for Envoy.
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

// refusal is the dynamic metadata about a request that was refused. How long one waited that a bug refused is not known.
func (w wishes) refusal(refused *admission.Error) map[string]*structpb.Value {
	fields := map[string]*structpb.Value{}
	if w.tell && refused.Waited > 0 {
		fields[QueueKey] = structpb.NewNumberValue(admission.Millis(refused.Waited))
	}
	if w.timing && refused.Cause != admission.Internal {
		fields[ServerTimingKey] = structpb.NewStringValue(serverTiming(admission.Wait{Queue: refused.Waited, Start: admission.NoStart}))
	}
	return fields
}

// serverTiming is the value of the header Server-Timing (W3C Server Timing). Times are in milliseconds.
func serverTiming(wait admission.Wait) string {
	queue := fmt.Sprintf("queue;dur=%v", admission.Millis(wait.Queue))
	if wait.Start == admission.NoStart {
		return queue
	}
	return fmt.Sprintf("%s, start;desc=%s;dur=%v", queue, wait.Start, admission.Millis(wait.ForStart()))
}

// toldReplies caches the last encoded reply for each endpoint to a request that did not wait.
type toldReplies struct {
	byEndpoint sync.Map // endpoint: toldReply
}

// A toldReply is valid as long as the endpoint belongs to the same instance.
type toldReply struct {
	instance string
	reply    *extprocv3.ProcessingResponse
}

// to is like replies.to, with the metadata that wishes.tell asks for about a request that did not wait.
func (t *toldReplies) to(endpoint string, wait admission.Wait) *extprocv3.ProcessingResponse {
	if known, ok := t.byEndpoint.Load(endpoint); ok && known.(toldReply).instance == wait.Instance {
		return known.(toldReply).reply
	}
	reply := frozen(dispatched(wishes{tell: true}.metadata(endpoint, wait)))
	t.byEndpoint.Store(endpoint, toldReply{wait.Instance, reply})
	return reply
}
