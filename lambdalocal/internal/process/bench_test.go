package process

import (
	"os"
	"testing"
)

// BenchmarkFreezeAndThaw is what every invocation pays.
func BenchmarkFreezeAndThaw(b *testing.B) {
	g, err := Start(Spec{Argv: []string{"sleep", "1000"}, Dir: b.TempDir(), Env: os.Environ(), Line: func(string) {}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { g.Kill(); <-g.Done() }()
	for b.Loop() {
		g.Freeze()
		g.Thaw()
	}
}
