// Package thread runs functions on operating system threads of their own.
package thread

import (
	"os"
	"runtime"
	"syscall"
)

// Go runs do in a goroutine on a thread that ends with it, so that namespaces of the thread may be changed. It is none that has
// children: they may have asked for a signal when the thread that started them ends.
func Go(do func()) {
	go func() {
		runtime.LockOSThread()
		if fit() {
			do()
			return // still locked: the runtime ends the thread
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		Go(func() { // on another thread, since this one is taken until then
			defer close(done)
			do()
		})
		<-done
	}()
}

// Do is Go that waits for the end.
func Do(do func() error) error {
	result := make(chan error, 1)
	Go(func() {
		defer close(result) // a test may end its goroutine
		result <- do()
	})
	return <-result
}

// fit says whether the calling thread may end. The first one cannot, and its namespaces are taken for the process's.
func fit() bool {
	if syscall.Gettid() == os.Getpid() {
		return false
	}
	children, err := os.ReadFile("/proc/thread-self/children")
	return err != nil || len(children) == 0
}
