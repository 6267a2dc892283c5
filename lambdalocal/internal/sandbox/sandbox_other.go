//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"net"
)

var errNotHere = errors.New("only Linux has namespaces")

// A Host is what all sandboxes of a machine start from.
type Host struct{}

// Open fails.
func Open() (*Host, error) { return nil, errNotHere }

// New fails.
func (*Host) New(Spec) (*Sandbox, error) { return nil, errNotHere }

// Close does nothing.
func (*Host) Close() {}

// A Sandbox is the surroundings of one environment.
type Sandbox struct{}

// Enter fails.
func (*Sandbox) Enter() error { return errNotHere }

// Listen fails.
func (*Sandbox) Listen(string) (net.Listener, error) { return nil, errNotHere }

// Dial fails.
func (*Sandbox) Dial(context.Context, string) (net.Conn, error) { return nil, errNotHere }

// Close does nothing.
func (*Sandbox) Close() {}
