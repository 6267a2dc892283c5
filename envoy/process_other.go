//go:build !linux

package envoy

import "syscall"

// sysProcAttr keeps a terminal's Ctrl-C from reaching Envoy before its parent has decided the order of things.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
