package envoy

import "syscall"

// sysProcAttr makes Envoy die with its parent, and keeps a terminal's Ctrl-C from reaching it before the parent has
// decided the order of things.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
