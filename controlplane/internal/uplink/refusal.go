package uplink

import (
	"errors"
	"fmt"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// A Refusal says in a word why a registration was refused.
type Refusal string

// The refusals. After an unknown one the peer may try again.
const (
	RefusedUnauthorized Refusal = "unauthorized"
	RefusedUnknown      Refusal = "unknown_function"
	RefusedTooOften     Refusal = "too_often"
	RefusedForNow       Refusal = "for_now"
)

var refusals = map[Refusal]error{
	RefusedUnauthorized: relays.ErrUnauthorized,
	RefusedUnknown:      relays.ErrUnknownFunction,
	RefusedTooOften:     relays.ErrRegisterTooOften,
}

func answerOf(number uint64, invocation wire.Invocation, err error) Registered {
	if err == nil {
		return Registered{Number: number, Invocation: &invocation}
	}
	answer := Registered{Number: number, Refusal: RefusedForNow, Text: wire.CutDetail(err.Error())}
	for word, refused := range refusals {
		if errors.Is(err, refused) {
			answer.Refusal = word
		}
	}
	return answer
}

// result converts the answer to what relays.Events.Register returns.
func (r Registered) result() (wire.Invocation, error) {
	if r.Invocation != nil {
		return *r.Invocation, nil
	}
	err := refusals[r.Refusal]
	switch {
	case err == nil:
		return wire.Invocation{}, errors.New(r.Text)
	case err.Error() == r.Text:
		return wire.Invocation{}, err
	default:
		return wire.Invocation{}, fmt.Errorf("%w: %s", err, r.Text)
	}
}
