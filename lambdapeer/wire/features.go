package wire

import (
	"errors"
	"fmt"
	"slices"
)

// A Feature is a word for something that the protocol gained within its version. A peer lists what it does in its hello, a
// relay what it understands in its welcome, and the control plane what it and its relays understand in each Invocation.
// No feature is assumed of an end that does not list it, and words that an end does not know are ignored.
type Feature string

// Features. Each comment says what the feature means and what happens without it; ofPeers says the latter to operators.
const (
	// FeatureSignatures, of a control plane: it signs its invocations if it has a key. Of a peer: it reads signatures, and
	// with a public key it obeys nothing else. Without it a peer obeys the fields beside them.
	FeatureSignatures Feature = "signatures"
	// FeatureSignedOnly, of a peer: it has a public key. Without it whoever may invoke the function commands the peer.
	FeatureSignedOnly Feature = "signed_only"
	// FeatureKnownRelays, of a peer: its environment says which relays it dials. Without this and signed_only it dials any.
	FeatureKnownRelays Feature = "known_relays"
	// FeatureEarlyHello, of a control plane: it understands a hello of a peer whose app is not ready, shows what that waits
	// for, and says how much of the start's time is left. Of a peer: it sends such a hello. Without it, of either, a peer dials
	// only when its app is ready: an earlier relay would take the instance for up.
	FeatureEarlyHello Feature = "early_hello"
	// FeatureRequeue, of a control plane: its Envoy follows a redirect that has RefusedHeader, and the refused request goes
	// back to the queue. Of a peer: it refuses so. Without it, of either, a peer refuses with status 503, and after a second.
	FeatureRequeue Feature = "requeue"
	// FeatureLinger, of a peer: it keeps its invocation for linger_ms after the last answer. Without it the control plane does,
	// as far as it decides about the end: a peer that drains by itself ends at once.
	FeatureLinger Feature = "linger"
	// FeatureAnswers, of a peer: its load counts answers, and those that are 5xx. Without it a rollout does not see that a
	// version answers with errors, or not at all, and an instance that alone does so is not let go.
	FeatureAnswers Feature = "answers"
	// FeatureWear, of a peer: its load tells memory; it says by a notice that its environment is worn, and ends that after the
	// invocation. Of a control plane: it has another one take its place meanwhile, and counts on it no more. Without it, of
	// either, an environment serves until Lambda ends it.
	FeatureWear Feature = "wear"
)

// A Description is a feature and what its lack means to whoever operates the function, as a clause.
type Description struct {
	Feature Feature
	Without string
}

// ofPeers is what every peer of this build does and understands.
var ofPeers = []Description{
	{FeatureSignatures, "it cannot be told to obey signed invocations alone"},
	{FeatureEarlyHello, "a start that waits for its app does not say what for"},
	{FeatureRequeue, "a request that it has no slot for fails"},
	{FeatureLinger, "what its app does after an answer may be cut off near the end of an invocation"},
	{FeatureAnswers, "it is not seen that a new version, or one of its instances, answers with errors, or not at all"},
	{FeatureWear, "an environment whose memory runs out is not replaced before, and environment.max_requests and max_age do nothing"},
}

// PeerFeatures lists what a peer of this build does and understands: the features of its hello, unless its settings add some.
func PeerFeatures() Features {
	words := make(Features, len(ofPeers))
	for i, d := range ofPeers {
		words[i] = d.Feature
	}
	return words
}

// ControlFeatures lists what a control plane and a relay of this build do and understand: the features of an Invocation
// and of a welcome.
func ControlFeatures() Features {
	return Features{FeatureSignatures, FeatureEarlyHello, FeatureRequeue, FeatureWear}
}

// Lacks describes the features of a peer of this build that are missing in theirs.
func Lacks(theirs Features) []Description {
	var lacks []Description
	for _, d := range ofPeers {
		if !theirs.Has(d.Feature) {
			lacks = append(lacks, d)
		}
	}
	return lacks
}

// Features is a list of words; nil: none.
type Features []Feature

// Has tells whether the list holds the word.
func (f Features) Has(word Feature) bool { return slices.Contains(f, word) }

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
