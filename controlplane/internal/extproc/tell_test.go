package extproc

import (
	"context"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/admission"
)

// toldOf is the metadata that a route gets for a wait. Route is key, value pairs of what it wants.
func toldOf(t *testing.T, wait admission.Wait, refused error, route ...string) map[string]any {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	server := New(acquirerFunc(func(context.Context, admission.Request) (*slot, error) {
		s := newSlot()
		s.wait = wait
		return s, refused
	}), log)
	first, err := proto.Marshal(request())
	require.NoError(t, err)
	stream := &scripted{
		ctx:      metadata.NewIncomingContext(t.Context(), metadata.Pairs(append(route, FunctionKey, "web")...)),
		received: [][]byte{first},
	}
	require.NoError(t, server.Process(stream))
	encoded, err := proto.Marshal(stream.sent[0])
	require.NoError(t, err)
	reply := &extprocv3.ProcessingResponse{}
	require.NoError(t, proto.Unmarshal(encoded, reply))
	said, _ := reply.GetDynamicMetadata().AsMap()[MetadataNamespace].(map[string]any)
	return said
}

func TestARouteIsToldWhatItAsksFor(t *testing.T) {
	const endpoint = "/run/e/web-0001.sock"
	none := admission.Wait{Instance: "i-1", Start: admission.NoStart}
	began := time.Unix(1.8e9, 0)
	warm := admission.Wait{
		Instance: "i-2", Arrived: began.Add(time.Millisecond), Queue: 41500 * time.Microsecond, Start: admission.Warm,
		Began: began.Add(2 * time.Millisecond), Up: began.Add(42 * time.Millisecond),
	}
	left := admission.Evict(admission.QueueTimeout)
	left.Waited = 30 * time.Second
	plain := map[string]any{EndpointKey: endpoint}
	told := map[string]any{EndpointKey: endpoint, InstanceKey: "i-1", QueueKey: 0.0, StartKey: "none"}
	asks, says := TimingWordKey, TimingKey
	for name, c := range map[string]struct {
		wait  admission.Wait
		err   error
		route []string
		want  map[string]any
	}{
		"nothing":               {wait: warm, want: plain},
		"no wait":               {wait: none, route: []string{TellKey, TellLogs}, want: told},
		"a wait":                {wait: warm, route: []string{TellKey, TellLogs}, want: map[string]any{EndpointKey: endpoint, InstanceKey: "i-2", QueueKey: 41.5, StartKey: "warm"}},
		"the client, of a wait": {wait: warm, route: []string{TellKey, TellClients, asks, "x", says, "x"}, want: map[string]any{EndpointKey: endpoint, ServerTimingKey: "queue;dur=41.5, start;desc=warm;dur=40"}},
		"the client, of none":   {wait: none, route: []string{TellKey, TellClients, asks, "x", says, "x"}, want: map[string]any{EndpointKey: endpoint, ServerTimingKey: "queue;dur=0"}},
		"another word":          {wait: warm, route: []string{TellKey, TellClients, asks, "x", says, "y"}, want: plain},
		"a client says it":      {wait: warm, route: []string{TellKey, TellClients, says, "x"}, want: plain},
		"both": {wait: none, route: []string{TellKey, TellBoth, asks, "x", says, "x"}, want: map[string]any{
			EndpointKey: endpoint, InstanceKey: "i-1", QueueKey: 0.0, StartKey: "none", ServerTimingKey: "queue;dur=0",
		}},
		"nobody says anything":                 {wait: warm, route: []string{TellKey, TellClients, asks, "", says, ""}, want: plain},
		"a refusal":                            {err: left, route: []string{TellKey, TellLogs}, want: map[string]any{QueueKey: 30000.0}},
		"a refusal, unasked":                   {err: left},
		"a refusal, the client":                {err: left, route: []string{TellKey, TellClients, asks, "x", says, "x"}, want: map[string]any{ServerTimingKey: "queue;dur=30000"}},
		"a refusal, another word":              {err: left, route: []string{TellKey, TellClients, asks, "x", says, "y"}},
		"a refusal, both":                      {err: left, route: []string{TellKey, TellBoth, asks, "x", says, "x"}, want: map[string]any{QueueKey: 30000.0, ServerTimingKey: "queue;dur=30000"}},
		"a full queue":                         {err: admission.Reject(admission.QueueFull), route: []string{TellKey, TellClients, asks, "x", says, "x"}, want: map[string]any{ServerTimingKey: "queue;dur=0"}},
		"a bug, which waited for unknown long": {err: admission.Reject(admission.Internal), route: []string{TellKey, TellClients, asks, "x", says, "x"}},
		"a refusal at once":                    {err: admission.Reject(admission.QueueFull), route: []string{TellKey, TellLogs}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, toldOf(t, c.wait, c.err, c.route...)) })
	}
}

// An endpoint's name goes to the next instance, and so must what is kept about it.
func TestWhatIsKeptIsTheInstancesThatHasTheEndpointNow(t *testing.T) {
	var kept toldReplies
	name := func(instance string) string {
		encoded, err := proto.Marshal(kept.to("/e/web/0001", admission.Wait{Instance: instance, Start: admission.NoStart}))
		require.NoError(t, err)
		reply := &extprocv3.ProcessingResponse{}
		require.NoError(t, proto.Unmarshal(encoded, reply))
		return reply.GetDynamicMetadata().GetFields()[MetadataNamespace].GetStructValue().GetFields()[InstanceKey].GetStringValue()
	}
	for _, instance := range []string{"i-1", "i-1", "i-2", "i-1"} {
		require.Equal(t, instance, name(instance))
	}
}

// A witness keeps the causes of refusals.
type witness struct{ refused []admission.Cause }

func (*witness) Admitted(string, admission.Request, admission.Wait) {}

func (w *witness) Refused(_ string, _ admission.Request, e *admission.Error) {
	w.refused = append(w.refused, e.Cause)
}

// Without this a trace of a client that gave up says nothing of what it waited for. What another control plane is asked about is told there.
func TestATraceTellsOfAClientThatLeft(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		told []admission.Cause
	}{
		"in the queue":        {admission.Evict(admission.Canceled), []admission.Cause{admission.Canceled}},
		"while it is refused": {admission.Reject(admission.QueueFull), nil},
		"to another one":      {admission.ErrElsewhere, nil},
	} {
		t.Run(name, func(t *testing.T) {
			log, _ := logtest.NewNullLogger()
			ctx, leave := context.WithCancel(metadata.NewIncomingContext(t.Context(), metadata.Pairs(TellKey, TellLogs, FunctionKey, "web")))
			w := &witness{}
			server := New(acquirerFunc(func(context.Context, admission.Request) (*slot, error) {
				leave()
				return nil, c.err
			}), log).Witnessed(w)
			first, err := proto.Marshal(request())
			require.NoError(t, err)
			require.Error(t, server.Process(&scripted{ctx: ctx, received: [][]byte{first}}))
			require.Equal(t, c.told, w.refused)
		})
	}
}
