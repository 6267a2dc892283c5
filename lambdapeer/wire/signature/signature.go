// Package signature signs invocations and opens signed ones, with Ed25519. Whoever holds the public key can tell that an
// invocation was made by the holder of the private key, for whom, and when; it cannot make one.
//
// What is signed is a text: the invocation as JSON, with Claims. It travels as a string inside the payload, so that whatever
// encodes the payload anew on its way changes no byte of it. The fields beside it are for peers that have no key.
package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// Skew is by how much the clocks of the two ends may differ.
const Skew = 2 * time.Minute

// domain begins what is signed, so that a signature of this key for something else is worth nothing here.
const domain = "lambda-dispatch invocation 1\n"

// Claims bind an invocation to those whom it commands, and to a time.
type Claims struct {
	Audience string    // of Lambda, ARN or Static
	Issued   time.Time // whole milliseconds
	Expires  time.Time // whole milliseconds
}

// Lambda is the audience of a Lambda function with that name, in whichever account and region.
func Lambda(name string) string { return "lambda:" + name }

// Static is the audience of peers that register by themselves for a function of the control plane's configuration.
func Static(function string) string { return "static:" + function }

// ARN is the audience of one Lambda function: its ARN without a qualifier. It is empty for a text that is no such ARN.
func ARN(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) < 7 || parts[0] != "arn" || parts[2] != "lambda" || parts[5] != "function" {
		return ""
	}
	return strings.Join(parts[:7], ":")
}

// Of returns the audience of the function that an Invoke call names: by name, by ARN or by a part of one, with or without a
// qualifier.
func Of(functionName string) string {
	if arn := ARN(functionName); arn != "" {
		return arn
	}
	if _, after, partial := strings.Cut(functionName, "function:"); partial {
		functionName = after
	}
	name, _, _ := strings.Cut(functionName, ":")
	return Lambda(name)
}

// text is what is signed.
type text struct {
	wire.Invocation
	Audience string `json:"audience"`
	Issued   int64  `json:"issued_at_ms"`
	Expires  int64  `json:"expires_at_ms"`
}

// Sign returns inv with its text and signature. The error says what of inv cannot be encoded.
func Sign(inv wire.Invocation, c Claims, key ed25519.PrivateKey) (wire.Invocation, error) {
	inv.Signed, inv.Signature = "", ""
	signed, err := json.Marshal(text{inv, c.Audience, c.Issued.UnixMilli(), c.Expires.UnixMilli()})
	if err != nil {
		return inv, fmt.Errorf("sign the invocation: %w", err)
	}
	inv.Signed = string(signed)
	inv.Signature = Mark(inv.Signed, key)
	return inv, nil
}

// Mark returns the signature of a text, in base64.
func Mark(text string, key ed25519.PrivateKey) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(domain+text)))
}

// Why Open refuses. Test with errors.Is.
var (
	ErrUnsigned  = errors.New("the invocation is not signed")
	ErrSignature = errors.New("the invocation's signature was made with none of the accepted keys")
	ErrAudience  = errors.New("the invocation was signed for another function")
	ErrTime      = errors.New("the invocation's signature is not valid at this time")
)

// Open returns the invocation that inv's signed text holds, if one of keys signed it, for one of audiences, and now is
// within its time. Nothing of inv beside that text is looked at.
func Open(inv wire.Invocation, keys []ed25519.PublicKey, audiences []string, now time.Time) (wire.Invocation, error) {
	if inv.Signed == "" || inv.Signature == "" {
		return wire.Invocation{}, ErrUnsigned
	}
	mark, err := base64.StdEncoding.DecodeString(inv.Signature)
	if err != nil || !slices.ContainsFunc(keys, func(key ed25519.PublicKey) bool {
		return ed25519.Verify(key, []byte(domain+inv.Signed), mark)
	}) {
		return wire.Invocation{}, ErrSignature
	}
	opened, err := wire.DecodeInvocation([]byte(inv.Signed))
	if err != nil {
		return wire.Invocation{}, fmt.Errorf("signed: %w", err)
	}
	var t text
	if err := json.Unmarshal([]byte(inv.Signed), &t); err != nil {
		return wire.Invocation{}, fmt.Errorf("signed: %w", err)
	}
	if !slices.Contains(audiences, t.Audience) {
		return wire.Invocation{}, fmt.Errorf("%w: for %.300q, this is %q", ErrAudience, t.Audience, audiences)
	}
	if err := checkTime(t, now); err != nil {
		return wire.Invocation{}, err
	}
	return opened, nil
}

func checkTime(t text, now time.Time) error {
	issued, expires := time.UnixMilli(t.Issued), time.UnixMilli(t.Expires)
	switch {
	case now.Before(issued.Add(-Skew)):
		return fmt.Errorf("%w: it was issued %v from now; clocks may differ by %v",
			ErrTime, issued.Sub(now).Round(time.Second), Skew)
	case now.After(expires.Add(Skew)):
		return fmt.Errorf("%w: it expired %v ago; clocks may differ by %v",
			ErrTime, now.Sub(expires).Round(time.Second), Skew)
	}
	return nil
}
