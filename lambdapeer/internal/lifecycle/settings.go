package lifecycle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/events"
)

// Variables that say how to handle events that are not of Lambda Dispatch.
const (
	EventPathVar    = "LAMBDA_DISPATCH_PEER_EVENT_PATH"
	BasePathVar     = "LAMBDA_DISPATCH_PEER_BASE_PATH"
	DropStageVar    = "LAMBDA_DISPATCH_PEER_DROP_STAGE"
	EventContextVar = "LAMBDA_DISPATCH_PEER_EVENT_CONTEXT"
	InvokeModeVar   = "LAMBDA_DISPATCH_PEER_INVOKE_MODE"
)

// Events say how to handle events that are not of Lambda Dispatch.
type Events struct {
	events.Options
	Stream bool // stream answers, if the sender supports that
}

// ReadEvents reads the variables. The error has a line for each bad one.
func ReadEvents(getenv func(string) string) (Events, error) {
	var e Events
	var errs [5]error
	e.Path, errs[0] = readPath(getenv, EventPathVar, events.DefaultPath)
	e.BasePath, errs[1] = readPath(getenv, BasePathVar, "")
	e.BasePath = strings.TrimSuffix(e.BasePath, "/")
	e.DropStage, errs[2] = readSwitch(getenv, DropStageVar, "true", "false")
	e.Context, errs[3] = readSwitch(getenv, EventContextVar, "true", "false")
	e.Stream, errs[4] = readSwitch(getenv, InvokeModeVar, "response_stream", "buffered")
	return e, errors.Join(errs[:]...)
}

func readPath(getenv func(string) string, name, otherwise string) (string, error) {
	path := getenv(name)
	switch {
	case path == "":
		return otherwise, nil
	case !strings.HasPrefix(path, "/"):
		return "", fmt.Errorf("%s: %q does not begin with /", name, path)
	}
	return path, nil
}

// readSwitch is true for on, and false for off and for an unset variable.
func readSwitch(getenv func(string) string, name, on, off string) (bool, error) {
	switch text := getenv(name); text {
	case on:
		return true, nil
	case off, "":
		return false, nil
	default:
		return false, fmt.Errorf("%s: %q is not one of %s, %s", name, text, min(on, off), max(on, off))
	}
}
