package dispatch

import (
	"fmt"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/operator"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/relays"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// warnings are what the function's owner should know. The caller holds f.mu.
func (f *function) warnings() []operator.Warning {
	out := []operator.Warning{}
	for _, b := range f.current() {
		if cost := b.cost(); cost != "" {
			out = append(out, operator.Warning{Word: operator.PeerLacks, Detail: cost})
		}
	}
	if f.versions.trouble != "" {
		out = append(out, operator.Warning{Word: operator.Unseen, Detail: f.versions.trouble})
	}
	if f.unguarded {
		out = append(out, operator.Warning{Word: operator.Unguarded, Detail: unguardedDetail})
	}
	if !f.serialAt.IsZero() && now().Sub(f.serialAt) < serialFor {
		out = append(out, operator.Warning{Word: operator.SerialApp, Detail: f.serialDetail()})
	}
	return append(out, killerWarnings(f.killers(now()))...)
}

// serialFor is how long the warning about a serial app stays after the last notice. The app may have been mended since.
const serialFor = time.Hour

// serial records that the app serves one request at a time, and warns once.
func (f *function) serial(i *instance) {
	f.mu.Lock()
	news := f.serialAt.IsZero()
	f.serialAt = now()
	f.mu.Unlock()
	if news {
		f.log.WithField("instance", i.id).Warn(f.serialDetail())
	}
}

func (f *function) serialDetail() string {
	return fmt.Sprintf("the app serves one request at a time: requests that overlapped were answered strictly one after another, "+
		"although an instance may get %d at once. Give its server more workers or threads, or set scaling.concurrency to 1", f.settings().config.Scaling.Slots())
}

// unguardedDetail says why it is a risk that a peer obeys any invocation, and what to do.
const unguardedDetail = "invocations are signed, but the function's lambdapeer has no key to check them with: whoever may invoke the function " +
	"can have it serve any relay. Set LAMBDA_DISPATCH_PEER_PUBLIC_KEY in its environment"

// obeysAny tells whether a peer obeys any invocation although we sign and it could check signatures.
func (f *function) obeysAny(p relays.Peer) bool {
	return f.settings().provider != nil && f.d.signing().Public() != "" && p.Features.Has(wire.FeatureSignatures) &&
		!p.Features.Has(wire.FeatureSignedOnly) && !p.Features.Has(wire.FeatureKnownRelays)
}
