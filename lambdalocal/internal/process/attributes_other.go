//go:build !linux

package process

import "syscall"

func attributes(Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// release does nothing: limits are set on Linux only.
func release(int, Spec) {}
