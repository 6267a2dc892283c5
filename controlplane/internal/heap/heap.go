// Package heap lets a small heap grow before the garbage collector runs.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	usual = 100     // Go's own rule: a collection begins when what lived after the last one has doubled
	least = 4 << 20 // bytes: no collection begins before, in proportion to GOGC
)

// AtLeast lets the heap grow to so many bytes before it is collected, however few of them live. A heap of which more than half that
// lives is collected by Go's own rule. It holds from the next collection until the end of the process, and must not be called if GOGC is
// set. GOMEMLIMIT goes before it.
//
// A collection costs what lives and what runs, whatever it frees. A control plane of few instances has 7 MB that live, and makes as much
// garbage with every thousand requests.
func AtLeast(bytes uint64) { (&keeper{bytes: bytes, percent: usual}).watch() }

// A keeper belongs to the cleanup that runs after a collection.
type keeper struct {
	bytes   uint64
	percent int
}

// watch has the rule adapted after the next collection. The marker is garbage at once. It holds a pointer, because cleanups of tiny
// objects may never run.
func (k *keeper) watch() { runtime.AddCleanup(new(*keeper), (*keeper).collected, k) }

func (k *keeper) collected() {
	if p := percent(k.bytes, survey()); p != k.percent {
		debug.SetGCPercent(p)
		k.percent = p
	}
	k.watch()
}

// A census is what the last collection looked at, in bytes.
type census struct{ heap, stacks, globals uint64 }

func survey() census {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	return census{samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()}
}

// percent is the GOGC by which the next collection begins at so many bytes. Go takes it of the heap, the stacks and the globals.
func percent(bytes uint64, c census) int {
	all := c.heap + c.stacks + c.globals
	if all == 0 || c.heap >= bytes {
		return usual
	}
	return int(max(usual, min(100*(bytes-c.heap)/all, 100*bytes/least)))
}
