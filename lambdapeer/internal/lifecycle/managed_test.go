package lifecycle

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// On Managed Instances events are served side by side.
func TestManagedInstancesServeEventsSideBySide(t *testing.T) {
	const atOnce = 3
	var here sync.WaitGroup
	here.Add(atOnce)
	api := live(t, &Environment{
		ID: "e", Logger: logger(t), Workers: atOnce, Events: Events{Options: events.Options{Path: events.DefaultPath}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			here.Done()
			here.Wait()
			_, _ = io.WriteString(w, "met")
		}),
	})
	for _, id := range []string{"a", "b", "c"} {
		api.Invoke(id, `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`, time.Now().Add(time.Minute))
	}
	for range atOnce {
		answer := api.Answer(t)
		require.False(t, answer.Error, answer.Body)
		require.Contains(t, answer.Body, "met")
	}
}

// An instance of ours is refused with the reason, and events are served as before.
func TestManagedInstancesRefuseInstances(t *testing.T) {
	api := live(t, &Environment{
		ID: "e", Logger: logger(t), Workers: 2, Events: Events{Options: events.Options{Path: events.DefaultPath}},
		Handler: http.NotFoundHandler(),
	})
	ours, err := json.Marshal(wire.Invocation{
		Version: wire.Version, Instance: "i", Function: "web", Token: "t", Concurrency: 1, Relays: []wire.Relay{{Address: "127.0.0.1:1"}},
	})
	require.NoError(t, err)
	api.Invoke("ours", string(ours), time.Now().Add(time.Minute))
	answer := api.Answer(t)
	require.True(t, answer.Error)
	require.Contains(t, answer.Body, "LambdaDispatch.ManagedInstances")
	api.Invoke("event", `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`, time.Now().Add(time.Minute))
	require.Contains(t, api.Answer(t).Body, `"statusCode":404`)
}

func TestHowManyInvocationsAreAskedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		vars map[string]string
		want int
	}{
		"elsewhere":     {map[string]string{"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, 0},
		"a runtime":     {map[string]string{"AWS_LAMBDA_MAX_CONCURRENCY": "10", "AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, 10},
		"an extension":  {map[string]string{"AWS_LAMBDA_INITIALIZATION_TYPE": "lambda-managed-instances"}, 64},
		"one at a time": {map[string]string{"AWS_LAMBDA_MAX_CONCURRENCY": "1"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := ReadWorkers(func(name string) string { return tt.vars[name] })
			require.NoError(t, err)
			require.Equal(t, tt.want, n)
		})
	}
	for _, bad := range []string{"0", "-1", "many"} {
		_, err := ReadWorkers(func(string) string { return bad })
		require.ErrorContains(t, err, "AWS_LAMBDA_MAX_CONCURRENCY: \""+bad+"\" is not a positive number")
	}
}
