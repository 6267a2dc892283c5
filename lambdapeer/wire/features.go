package wire

import (
	"errors"
	"fmt"
)

// A Feature is a word for something that the protocol gained within its version. A peer lists what it does in its hello, a
// relay what it understands in its welcome, and the control plane what it and its relays understand in each Invocation.
// No feature is assumed of an end that does not list it, and words that an end does not know are ignored.
type Feature string

// Features. Each says what it means and what happens without it.
const (
	// FeatureSignatures, of a control plane: it signs its invocations if it has a key. Of a peer: it reads signatures, and
	// with a public key it obeys nothing else. Without it a peer obeys the fields beside them.
	FeatureSignatures Feature = "signatures"
	// FeatureSignedOnly, of a peer: it has a public key. Without it whoever may invoke the function commands the peer.
	FeatureSignedOnly Feature = "signed_only"
)

// PeerFeatures lists what a peer of this build does and understands: the features of its hello.
func PeerFeatures() Features { return Features{FeatureSignatures} }

// ControlFeatures lists what a control plane and a relay of this build do and understand: the features of an Invocation
// and of a welcome.
func ControlFeatures() Features { return Features{FeatureSignatures} }

// Features is a list of words; nil: none.
type Features []Feature

// Has tells whether the list holds the word.
func (f Features) Has(word Feature) bool {
	for _, w := range f {
		if w == word {
			return true
		}
	}
	return false
}

// Validate reports everything that is wrong with the list: its length, and each word that is empty, too long, or holds
// anything but visible ASCII.
func (f Features) Validate() error {
	if len(f) > MaxFeatures {
		return fmt.Errorf("features: %d words, at most %d", len(f), MaxFeatures)
	}
	var errs []error
	for i, word := range f {
		errs = append(errs, checkWord(fmt.Sprintf("features[%d]", i), string(word), MaxFeature))
	}
	return errors.Join(errs...)
}
