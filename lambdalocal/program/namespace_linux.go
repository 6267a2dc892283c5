package program

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// insider is set in the environment of the program inside its user namespace.
const insider = "LAMBDALOCAL_USER_NAMESPACE"

// privileges are what sandboxes take, inside the user namespace only. Functions do not get them.
var privileges = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT,
}

// delegate lets an ordinary user's server run in a user namespace of its own, where it may make the namespaces of environments,
// which root may as it is. It returns when that server has ended, with its exit code; false if there is none: this process
// shall serve, as well as it can.
func delegate(args, again []string, stdout, stderr io.Writer) (code int, done bool) {
	if os.Geteuid() == 0 || os.Getenv(insider) != "" || !slices.Contains(args, "run") {
		_ = os.Unsetenv(insider)
		return 0, false
	}
	runtime.LockOSThread() // the server ends with this thread
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	cmd := exec.Command("/proc/self/exe", again...)
	cmd.Env = append(os.Environ(), insider+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:    true, // a terminal's Ctrl-C comes through here alone: twice it would mean to kill
		Cloneflags: syscall.CLONE_NEWUSER, Pdeathsig: syscall.SIGKILL, AmbientCaps: privileges,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
	}
	if cmd.Start() != nil {
		return 0, false // the server says what it lacks
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	return exitCodeOf(cmd.Wait()), true
}

func exitCodeOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	default:
		return 1
	}
}
