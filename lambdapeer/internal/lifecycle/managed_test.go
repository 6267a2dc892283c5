package lifecycle

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/instance"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
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

// Whatever makes the environment stop is no error; one of the API's is.
func TestManagedInstancesStopInOrder(t *testing.T) {
	api := runtimetest.Start(t)
	client := runtimeapi.New(api.Address())
	defer client.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	e := &Environment{ID: "e", Logger: logger(t), Workers: 2}
	go func() { ended <- e.RunLambda(ctx, client) }()
	<-api.Asked
	<-api.Asked
	stop(&instance.Stop{Reason: wire.ReasonShutdown, Detail: "terminated"})
	require.NoError(t, <-ended)

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	nobody := runtimeapi.New(strings.TrimPrefix(gone.URL, "http://"))
	defer nobody.Close()
	require.ErrorContains(t, e.RunLambda(t.Context(), nobody), "refused")
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
