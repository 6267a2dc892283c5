package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/thread"
)

const soon = 20 * time.Second

func TestTreesAreThoseOfTheProcess(t *testing.T) {
	for name, tt := range map[string]struct {
		mounts, own string
		want        trees
	}{
		"version 2 in a session of systemd's": {
			"30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/user.slice/user-1000.slice/run-7.scope\n",
			trees{second: "/sys/fs/cgroup/user.slice/user-1000.slice/run-7.scope", first: map[string]string{}},
		},
		"both": {
			"32 31 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 master:2 - cgroup cgroup rw,cpu,cpuacct\n" +
				"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
			"4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
			trees{second: "/sys/fs/cgroup/unified", first: map[string]string{
				"memory": "/sys/fs/cgroup/memory/a/b", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
			}},
		},
		"a container that sees its own group only": {
			"30 24 0:26 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/7/app\n",
			trees{second: "/sys/fs/cgroup/app", first: map[string]string{}},
		},
		"a group that no mount shows": {
			"30 24 0:26 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/8\n", trees{first: map[string]string{}},
		},
		"none": {"22 1 0:20 / / rw - ext4 /dev/sda rw\n", "", trees{first: map[string]string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, findTrees([]byte(tt.mounts), []byte(tt.own)))
		})
	}
}

// host skips the test where this process may make no groups.
func host(t *testing.T, resource string) *Host {
	t.Helper()
	h, err := Open()
	t.Cleanup(h.Close)
	if !h.Limits(resource) {
		t.Skip("no control groups here: ", err)
	}
	return h
}

func group(t *testing.T, h *Host, l Limits) *Group {
	t.Helper()
	g, err := h.New("test", l)
	require.NoError(t, err)
	t.Cleanup(g.Close)
	return g
}

// start runs a script in the group.
func start(t *testing.T, g *Group, script string) (cmd *exec.Cmd, output *strings.Builder) {
	t.Helper()
	output = &strings.Builder{}
	cmd = exec.Command("sh", "-c", script)
	cmd.Stdout, cmd.Stderr = output, output
	require.NoError(t, begin(g, cmd))
	return cmd, output
}

// begin starts the command in the group.
func begin(g *Group, cmd *exec.Cmd) error {
	if folder := g.Folder(); folder != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	}
	return thread.Do(func() error { return g.Within(cmd.Start) })
}

func TestProcessesAreLimitedTogetherAlsoRoots(t *testing.T) {
	g := group(t, host(t, Processes), Limits{Processes: 4})
	cmd, output := start(t, g, "for i in 1 2 3 4 5 6; do sleep 1000 >/dev/null 2>&1 & done; echo all")
	_ = cmd.Wait()
	require.NotContains(t, output.String(), "all")
	require.Contains(t, output.String(), "fork")
}

// The thread that starts a process is in its group for that moment only, and this process never is.
func TestOnlyWhatIsStartedIsInTheGroup(t *testing.T) {
	h := host(t, Processes)
	g := group(t, h, Limits{})
	before, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	cmd := exec.Command("cat", "/proc/self/cgroup")
	var output strings.Builder
	cmd.Stdout = &output
	if folder := g.Folder(); folder != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(folder.Fd())}
	}
	var after []byte
	require.NoError(t, thread.Do(func() (err error) {
		require.NoError(t, g.Within(cmd.Start))
		after, err = os.ReadFile("/proc/thread-self/cgroup")
		return err
	}))
	require.NoError(t, cmd.Wait())
	require.Equal(t, len(g.dirs()), strings.Count(output.String(), "/test\n"))
	require.Equal(t, string(before), string(after))
}

// A group that a thread of this process is in, as one is while it starts another, ends without it.
func TestWhoStartsOutlivesTheGroup(t *testing.T) {
	g := group(t, host(t, Memory), Limits{Memory: 8 << 20})
	hog := exec.Command("sh", "-c", "head -c 100000000 /dev/zero | tail")
	require.NoError(t, thread.Do(func() error {
		return g.Within(func() error {
			require.NoError(t, begin(g, hog))
			require.NoError(t, ignoreExit(hog.Wait()))
			require.True(t, g.OutOfMemory(), "this process holds more than the one that was killed")
			g.Kill()
			return nil
		})
	}))
}

func TestTheKernelKillsForWantOfMemory(t *testing.T) {
	g := group(t, host(t, Memory), Limits{Memory: 32 << 20})
	require.False(t, g.OutOfMemory())
	cmd, _ := start(t, g, "exec head -c 100000000 /dev/zero | tail")
	require.NoError(t, ignoreExit(cmd.Wait()))
	require.True(t, g.OutOfMemory())
	require.False(t, g.OutOfMemory(), "that was told")
}

func ignoreExit(err error) error {
	if _, ok := err.(*exec.ExitError); ok {
		return nil
	}
	return err
}

// What is in files, those of /tmp too, is no memory of the function.
func TestMemoryIsWhatProcessesHold(t *testing.T) {
	g := group(t, host(t, Memory), Limits{})
	file := filepath.Join("/dev/shm", filepath.Base(t.TempDir()))
	t.Cleanup(func() { _ = os.Remove(file) })
	cmd, _ := start(t, g, "head -c 50000000 /dev/zero > "+file+"; head -c 60000000 /dev/zero | tail -c 60000000 | sleep 1000")
	defer func() { g.Close(); _ = cmd.Wait() }()
	held := func() int64 { n, _ := g.Memory(); return n }
	require.Eventually(t, func() bool { return held() > 50<<20 }, soon, time.Millisecond)
	require.Less(t, held(), int64(100<<20))
}

func TestCloseKillsWhatIsLeft(t *testing.T) {
	h := host(t, Processes)
	g := group(t, h, Limits{})
	cmd, _ := start(t, g, "exec sleep 1000")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	g.Close()
	require.Error(t, <-ended)
	for _, dir := range g.dirs() {
		require.NoDirExists(t, dir)
	}
	h.Close()
	for _, b := range h.branches {
		require.NoDirExists(t, b.dir)
	}
}

// The kernel gives no limits to the children of a group that has processes, so ours moves, and comes back.
func TestAGroupIsHandedOverToItsChildren(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	root := findTrees(mounts, []byte("0::/\n")).second
	text, _ := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	names := strings.Fields(string(text))
	base := filepath.Join(root, "test-of-lambdalocal")
	if len(names) == 0 || os.Mkdir(base, 0o755) != nil {
		t.Skip("no control groups of version 2 here")
	}
	defer func() { require.NoError(t, os.Remove(base)) }()
	if !has(filepath.Join(root, subtree), names[0]) {
		if write(filepath.Join(root, subtree), "+"+names[0]) != nil {
			t.Skip("no controller here may be given to children")
		}
		defer func() { _ = write(filepath.Join(root, subtree), "-"+names[0]) }()
	}
	one := exec.Command("sleep", "1000")
	require.NoError(t, one.Start())
	defer func() { _ = one.Process.Kill(); _ = one.Wait() }()
	d := &delegation{base: base, dir: filepath.Join(base, "ours"), pid: one.Process.Pid, names: names[:1]}
	require.NoError(t, d.move(base))
	require.NoError(t, d.make())
	require.True(t, has(filepath.Join(d.dir, subtree), names[0]))
	other := exec.Command("sleep", "1000")
	require.NoError(t, other.Start())
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	d.undo()
	require.NoDirExists(t, d.dir)
	require.True(t, has(filepath.Join(base, "cgroup.procs"), strconv.Itoa(one.Process.Pid)), "it is back")

	stranger := &delegation{base: base, pid: other.Process.Pid}
	require.NoError(t, stranger.move(base))
	err = d.make()
	require.ErrorContains(t, err, "other processes are in this one's control group")
	d.undo()
	require.NoDirExists(t, d.dir)
	require.NoError(t, (&delegation{pid: one.Process.Pid}).move(root))
	require.NoError(t, (&delegation{pid: other.Process.Pid}).move(root))
}
