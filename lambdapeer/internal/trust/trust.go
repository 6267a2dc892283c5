// Package trust decides which invocations a peer obeys: those that a control plane has signed whose key the environment
// names, and those whose relays the environment allows. SECURITY.md explains what that protects from.
package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// Variables that say whom to obey.
const (
	PublicKeyVar = "LAMBDA_DISPATCH_PEER_PUBLIC_KEY"
	RelaysVar    = "LAMBDA_DISPATCH_PEER_RELAYS"
	RelayCAVar   = "LAMBDA_DISPATCH_PEER_RELAY_CA"
	RequireVar   = "LAMBDA_DISPATCH_PEER_REQUIRE_TRUST"
)

// A Policy says which invocations to obey. The zero value obeys all.
type Policy struct {
	Relays Relays

	keys     []ed25519.PublicKey // none: signatures are not checked
	required bool
}

// Read reads the variables. The error reports every bad one, one a line.
func Read(getenv func(string) string) (Policy, error) {
	var p Policy
	var errs [7]error
	for n, name := range []string{PublicKeyVar, RelaysVar, RelayCAVar} {
		if text := getenv(name); text != "" && len(signature.Words(text)) == 0 {
			errs[4+n] = fmt.Errorf("%s: %q names nothing: without the variable everybody would be obeyed", name, text)
		}
	}
	p.keys, errs[0] = signature.ParsePublic(getenv(PublicKeyVar))
	if errs[0] != nil {
		errs[0] = fmt.Errorf("%s: %w", PublicKeyVar, errs[0])
	}
	p.Relays.allowed, errs[1] = parsePlaces(getenv(RelaysVar))
	p.Relays.authorities, errs[2] = parseHashes(getenv(RelayCAVar))
	switch text := getenv(RequireVar); text {
	case "true":
		p.required = true
	case "", "false":
	default:
		errs[3] = fmt.Errorf("%s: %q is neither true nor false", RequireVar, text)
	}
	return p, errors.Join(errs[:]...)
}

// Blind tells whether the policy obeys whoever sends an invocation.
func (p Policy) Blind() bool { return len(p.keys) == 0 && p.Relays.any() }

// Features are the words for what is obeyed, for the control plane.
func (p Policy) Features() (words wire.Features) {
	if len(p.keys) > 0 {
		words = append(words, wire.FeatureSignedOnly)
	}
	if !p.Relays.any() {
		words = append(words, wire.FeatureKnownRelays)
	}
	return words
}

// An Error says that an invocation is not obeyed, and why.
type Error struct {
	err error
}

// Error implements error.
func (e *Error) Error() string { return "not obeyed: " + e.err.Error() }

// Unwrap returns why.
func (e *Error) Unwrap() error { return e.err }

// Open reads a payload and returns the invocation to obey. audiences are what the function may be called in a signature.
// known tells that the payload came from a relay whose identity was proved. The error is that of wire.DecodeInvocation, or
// an *Error. That a relay's name leads to an address that is not allowed is found when it is dialled.
func (p Policy) Open(payload []byte, audiences []string, known bool, now time.Time) (wire.Invocation, error) {
	inv, err := wire.DecodeInvocation(payload)
	if err != nil {
		return wire.Invocation{}, err
	}
	if len(p.keys) > 0 {
		if inv, err = signature.Open(inv, p.keys, audiences, now); err != nil {
			return wire.Invocation{}, &Error{err}
		}
	}
	if p.required && p.Blind() && !known {
		return wire.Invocation{}, &Error{fmt.Errorf("%s is true, but neither %s nor %s nor %s is set", RequireVar, PublicKeyVar, RelaysVar, RelayCAVar)}
	}
	for _, relay := range inv.Relays {
		if err := p.Relays.check(relay); err != nil {
			return wire.Invocation{}, &Error{err}
		}
	}
	return inv, nil
}
