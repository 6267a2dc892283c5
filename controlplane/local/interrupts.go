package local

import (
	"context"
	"os"
	"time"
)

// sameSignal is how long a SIGTERM counts as the first signal again: make passes on what the whole process group gets.
const sameSignal = time.Second

// Interrupts returns a context that ends with the first signal, and one that ends with the next: a Ctrl-C at any time, or
// another signal unless it may be the first one again.
func Interrupts(signals <-chan os.Signal) (first, second context.Context) {
	first, endFirst := context.WithCancel(context.Background())
	second, endSecond := context.WithCancel(context.Background())
	go func() {
		<-signals
		began := time.Now()
		endFirst()
		for <-signals != os.Interrupt && time.Since(began) < sameSignal {
		}
		endSecond()
	}()
	return first, second
}
