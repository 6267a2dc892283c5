package kept

import (
	"path/filepath"
	"testing"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/tables"
)

// A change is written while nobody else is served: a relay to which thousands come back writes as many.
func BenchmarkWrite(b *testing.B) {
	book, _, err := Open(filepath.Join(b.TempDir(), "book"), start)
	if err != nil {
		b.Fatal(err)
	}
	all := []tables.Kept{instance("i1", tables.PhaseUp)}
	b.ReportAllocs()
	for b.Loop() {
		if book.Worn(start) {
			if err := book.Renew(start, all); err != nil {
				b.Fatal(err)
			}
		}
		if err := book.Write(start, tables.Changes{Kept: all}); err != nil {
			b.Fatal(err)
		}
	}
	_ = book.Close()
}
