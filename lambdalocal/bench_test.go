package lambdalocal_test

import (
	"testing"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// BenchmarkWarmInvoke is one invocation of a frozen environment through the SDK: thaw, run, freeze.
func BenchmarkWarmInvoke(b *testing.B) {
	m := run(b, "runtime", nil)
	m.invoke(order{})
	for b.Loop() {
		m.invoke(order{})
	}
}

// BenchmarkColdStart is the first invocation of a new environment.
func BenchmarkColdStart(b *testing.B) {
	m := run(b, "runtime", func(f *lambdalocal.Function) { f.ReservedConcurrency = new(1) })
	for b.Loop() {
		m.invoke(order{})
		m.Kill(m.Environments()[0].ID)
		m.eventually("gone", func() bool { return len(m.Environments()) == 0 })
	}
}
