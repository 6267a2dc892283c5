package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

// demonstrate starts what make demo starts, in a folder with what make has built before. Nothing there is a symbolic link, because
// environments do not see where that leads.
func demonstrate(t *testing.T) *development {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "build"), 0o700))
	for name, source := range map[string]string{
		"lambda-dispatch": "cmd/lambda-dispatch", "lambdapeer": "lambdapeer/cmd/lambdapeer", "example-go": "examples/go",
	} {
		require.NoError(t, os.Link(controlplanetest.Build(t, source), filepath.Join(dir, "build", name)))
	}
	for _, name := range []string{"node", "python"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, "examples", name), os.DirFS("../../examples/"+name)))
	}
	temporary := filepath.Join(dir, "as-long-as-the-path-of-a-socket-must-not-be")
	require.NoError(t, os.Mkdir(temporary, 0o700))
	d := &development{t: t, ended: make(chan struct{})}
	d.cmd = exec.Command(controlplanetest.Build(t, "examples/demo"))
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, d, d
	d.cmd.Env = append(os.Environ(), "ENVOY="+envoytest.Binary(t), "TMPDIR="+temporary, "FRONT_PORT=0", "ADMIN_PORT=0", "ENVOY_ADMIN_PORT=0")
	d.start()
	return d
}

// What the demo tells people to try works as it is printed.
func TestTheDemoAsItSays(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on the PATH")
	}
	d := demonstrate(t)
	welcome := d.says(`(?s)In a second terminal, try:\n(.*)Ctrl-C stops everything`)
	commands := regexp.MustCompile(`(?m)^  ((?:curl|for|build/).*)$`).FindAllStringSubmatch(welcome, -1)
	require.Len(t, commands, 5)
	var printed []string
	for _, command := range commands {
		shell := exec.Command("bash", "-c", strings.ReplaceAll(command[1], "curl ", "curl --fail --silent --show-error "))
		shell.Dir = d.cmd.Dir
		out, err := shell.CombinedOutput()
		require.NoError(t, err, "%s: %s", command[1], out)
		printed = append(printed, string(out))
	}
	require.Contains(t, printed[0], "Hello from ")
	require.Equal(t, 20, strings.Count(printed[1], "slept_ms"), printed[1])
	require.Regexp(t, `(?m)^go +`, printed[2])
	require.Contains(t, printed[3], "functions")
	d.says(`msg="?rollout done.*function=go`)

	response, err := http.Get(d.says(`status page  (http://\S+)`))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Zero(t, d.stop())
	require.Contains(t, d.printed(), "stopping")
}

// What README.md says of a fresh clone, and what the demo there says it is.
func TestLongAFreshClone(t *testing.T) {
	t.Parallel()
	dir := clone(t)
	run := func(arguments ...string) *exec.Cmd {
		cmd := exec.Command("make", arguments...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MAKEFLAGS=", "ENVOY="+envoytest.Binary(t))
		return cmd
	}
	out, err := run("demo-parts").CombinedOutput() // takes as long as Go's caches have it
	require.NoError(t, err, "%s", out)

	d := &development{t: t, ended: make(chan struct{}), cmd: run("demo", "FRONT_PORT=0", "ADMIN_PORT=0", "ENVOY_ADMIN_PORT=0")}
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.start()
	response, err := http.Get(d.says(`front door   (http://\S+)`) + "go/hello")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT)) // Ctrl-C is for all in the terminal
	<-d.ended
	require.Contains(t, d.printed(), "stopping")

	out, err = run("build", "envoy").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.FileExists(t, filepath.Join(dir, "build/controlplane"))
}

// clone copies the repository's files as they are now.
func clone(t *testing.T) string {
	t.Helper()
	list, err := exec.Command("git", "-C", "../..", "ls-files", "-z", "--cached").Output()
	if err != nil {
		t.Skip("no git repository")
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o700))
	}
	return dir
}
