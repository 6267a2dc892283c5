package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes let a child with limits stop when its program is loaded, as a traced one does: then the limits are set from
// outside, and nothing of it has run without them.
func attributes(l Limits) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Ptrace: l != Limits{}}
}

// release sets the limits of a child that has just been started, and lets it run. It must be called on the thread that
// started it.
func release(pid int, l Limits) {
	if l == (Limits{}) {
		return
	}
	var stopped unix.Siginfo
	for unix.Waitid(unix.P_PID, pid, &stopped, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	limit(pid, unix.RLIMIT_NOFILE, l.OpenFiles)
	if os.Geteuid() == 0 {
		limit(pid, unix.RLIMIT_NPROC, l.Processes) // an ordinary user's would count the processes of all environments
	}
	_ = unix.PtraceDetach(pid) // ESRCH: it was killed meanwhile
}

// limit sets one of them, the hard one too, unless that is lower already.
func limit(pid, resource, value int) {
	var now unix.Rlimit
	if value == 0 || unix.Prlimit(pid, resource, nil, &now) != nil {
		return
	}
	to := min(uint64(value), now.Max)
	_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: to, Max: to}, nil)
}
