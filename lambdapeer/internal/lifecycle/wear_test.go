package lifecycle

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/relaytest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimeapi"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/wear"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A worn environment answers its invocation and takes no other, but only for a control plane that knows of it.
func TestAWornEnvironmentTakesNoOtherInvocation(t *testing.T) {
	for _, knows := range []bool{true, false} {
		api := runtimetest.Start(t)
		client := runtimeapi.New(api.Address())
		defer client.Close()
		env := &Environment{ID: "e", Handler: http.NotFoundHandler(), Logger: logger(t), Wear: wear.New(time.Now().Add(-time.Minute), 0, nil)}
		ended := make(chan error, 1)
		go func() { ended <- env.RunLambda(t.Context(), client) }()
		<-api.Asked
		relay := relaytest.Start(t)
		inv := relaytest.Invocation(2, relay)
		inv.MaxAge = wire.Millis(time.Millisecond)
		if knows {
			inv.Features = wire.ControlFeatures()
		}
		payload, err := json.Marshal(inv)
		require.NoError(t, err)
		api.Invoke("first", string(payload), time.Now().Add(time.Minute))
		control, _ := relay.Welcome(t)
		control.Send(t, wire.Message{Kind: wire.KindDrain, Reason: wire.ReasonScaleIn})
		answer := api.Answer(t)
		require.False(t, answer.Error)
		if !knows {
			<-api.Asked
			continue
		}
		require.NoError(t, <-ended)
	}
}
