//go:build !linux

// Package thread runs functions on operating system threads of their own.
package thread

// Go runs do in a goroutine: threads differ in nothing here.
func Go(do func()) { go do() }
