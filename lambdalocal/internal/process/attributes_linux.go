package process

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make a child with limits stop when its program is loaded, by tracing it. Its limits are set then, before it has run
// one instruction.
func attributes(s Spec) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Ptrace: s.held()}
	if s.Group != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(s.Group.Fd())
	}
	return a
}

func (s Spec) held() bool { return s.Limits != Limits{} }

// release sets the limits of a child that has just been started, and lets it run. It must be called on the thread that started it.
func release(pid int, s Spec) {
	if !s.held() {
		return
	}
	var stopped unix.Siginfo
	for unix.Waitid(unix.P_PID, pid, &stopped, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	limit(pid, unix.RLIMIT_NOFILE, s.Limits.OpenFiles)
	if os.Geteuid() == 0 {
		limit(pid, unix.RLIMIT_NPROC, s.Limits.Processes) // an ordinary user's would count the processes of all environments
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
