package lifecycle

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
)

// live runs an environment against a Lambda, and ends it with the test.
func live(t *testing.T, e *Environment) *runtimetest.API {
	t.Helper()
	api := runtimetest.Start(t)
	client := runtimeapi.New(api.Address())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.RunLambda(ctx, client) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		client.Close()
	})
	return api
}

// An app that never becomes ready must not make Lambda end the environment: who asked learns why, in time.
func TestAnAppThatIsNeverReadyFailsItsEventBeforeTheDeadline(t *testing.T) {
	api := live(t, &Environment{
		ID: "e", Handler: http.NotFoundHandler(), Logger: logger(t), Events: Events{Options: events.Options{Path: events.DefaultPath}},
		Ready: func(ctx context.Context, _ func(string)) error {
			<-ctx.Done()
			return fmt.Errorf("connection refused: %w", context.Cause(ctx))
		},
	})
	for range 2 { // and the environment lives on
		deadline := time.Now().Add(2 * time.Second)
		api.Invoke("x", `{"version":"2.0","rawPath":"/hello","requestContext":{"http":{"method":"GET"}}}`, deadline)
		answer := api.Answer(t)
		require.True(t, time.Now().Before(deadline), "too late")
		require.True(t, answer.Error)
		require.Equal(t, `{"errorType":"LambdaDispatch.AppUnhealthy","errorMessage":"connection refused: the invocation's deadline is near"}`, answer.Body)
	}
}
