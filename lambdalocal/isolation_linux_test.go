package lambdalocal_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// requireIsolation skips the test where the kernel does not permit isolation.
func requireIsolation(t *testing.T, m *machine) {
	t.Helper()
	if !m.Isolated() {
		t.Skip("this machine does not permit isolation")
	}
}

// Two environments at once have an extension that listens on one fixed port, under the name that AWS documents, and gets its own
// environment's telemetry there.
func TestExtensionsOfTwoEnvironmentsListenOnOnePort(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", withExtension("telemetry"))
	requireIsolation(t, m)
	var both sync.WaitGroup
	for _, text := range []string{"one", "two"} {
		both.Go(func() { m.invoke(order{Do: "print, meet and be heard", Text: text}) })
	}
	both.Wait()
	require.Len(t, m.Environments(), 2)
}

// What is in an environment is what Lambda has there, and none of it is seen elsewhere.
func TestAnEnvironmentSeesWhatLambdaShows(t *testing.T) {
	t.Parallel()
	dir, layer := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "code"), []byte("code"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(layer, "library"), []byte("layer"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(layer, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(layer, "bin/tool"), []byte("#!/bin/sh\necho tool\n"), 0o755))
	m := run(t, "runtime", func(f *lambdalocal.Function) { f.Dir, f.Layers = dir, []string{layer} })
	requireIsolation(t, m)
	shell := func(script string) string {
		t.Helper()
		var out string
		require.NoError(t, json.Unmarshal(m.invoke(order{Do: "shell", Text: script}).Payload, &out))
		return strings.TrimSpace(out)
	}
	require.Equal(t, "/var/task code", shell("echo $PWD $(cat $LAMBDA_TASK_ROOT/code)"))
	require.Contains(t, shell("touch /var/task/new 2>&1"), "Read-only file system")
	require.Equal(t, "layer", shell("cat /opt/library"))
	require.Equal(t, "tool", shell("tool"), "layers bring programs")
	require.Equal(t, "/var/task:/var/task/lib:/opt/lib", shell("echo $LD_LIBRARY_PATH"), "and libraries")
	require.Equal(t, "169.254.100.1:9001", shell("echo $AWS_LAMBDA_RUNTIME_API"))
	require.Equal(t, "1024 1024", shell("echo $(ulimit -Sn) $(ulimit -Hn)"))
	require.Equal(t, "512M", shell("df -h /tmp | tail -1 | awk '{print $2}'"))
	require.Empty(t, shell("ls -A /dev/shm"), "nothing is shared with the machine or with other environments")
	require.Contains(t, shell("touch /dev/shm/new 2>&1"), "Read-only file system", "Lambda has no shared memory that has a name")
	shell("touch /tmp/isolation-test-file")
	require.NoFileExists(t, "/tmp/isolation-test-file")
	require.Equal(t, "/tmp/isolation-test-file", shell("ls /tmp/isolation-test-file"), "it stays as long as the environment does")
	m.Kill(m.Environments()[0].ID)
	m.eventually("gone", func() bool { return len(m.Environments()) == 0 })
	require.Contains(t, shell("ls /tmp/isolation-test-file 2>&1"), "No such file")
}

// What is in a layer's folder of extensions is an extension, by its name.
func TestALayerBringsExtensions(t *testing.T) {
	t.Parallel()
	layer := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(layer, "extensions"), 0o755))
	m := run(t, "runtime", func(f *lambdalocal.Function) {
		script := "#!/bin/sh\nexec " + f.Command[0] + " watcher\n"
		require.NoError(t, os.WriteFile(filepath.Join(layer, "extensions/watcher"), []byte(script), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(layer, "extensions/README"), nil, 0o644))
		f.Layers = []string{layer}
	})
	m.invoke(order{})
	m.stop()
	require.Equal(t, "INVOKE\nSHUTDOWN spindown\n", m.recorded())
}

// What stands between a runtime and its API passes on what the runtime sent. Only where other programs of this machine reach the API
// is it kept from browsers.
func TestTheRuntimeAPITakesAnyHostFromItsOwnProcesses(t *testing.T) {
	t.Parallel()
	m := run(t, "runtime", nil)
	requireIsolation(t, m)
	require.Equal(t, `"200 OK"`, string(m.invoke(order{Do: "ping as", Text: "proxy.example:9000"}).Payload))
	m = runWith(t, "runtime", func(c *lambdalocal.Config, _ *lambdalocal.Function) { c.Isolation = lambdalocal.IsolationOff })
	require.Equal(t, `"403 Forbidden"`, string(m.invoke(order{Do: "ping as", Text: "proxy.example:9000"}).Payload))
}

// A server of this machine is reached at its own address.
func TestServersOfTheMachineAreReached(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("machine")) }))
	defer server.Close()
	m := run(t, "runtime", nil)
	var out string
	require.NoError(t, json.Unmarshal(m.invoke(order{Do: "get", Text: server.URL}).Payload, &out))
	require.Equal(t, "machine", out)
}

// Without isolation an environment shares this machine's network.
func TestIsolationOff(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	m := runWith(t, "runtime", func(c *lambdalocal.Config, f *lambdalocal.Function) {
		c.Isolation = lambdalocal.IsolationOff
		f.Limits = lambdalocal.Limits{OpenFiles: 500}
	})
	require.False(t, m.Isolated())
	var out string
	require.NoError(t, json.Unmarshal(m.invoke(order{Do: "shell", Text: "echo $AWS_LAMBDA_RUNTIME_API; ulimit -n; pwd"}).Payload, &out))
	here, err := os.Getwd()
	require.NoError(t, err)
	require.Regexp(t, `^127\.0\.0\.1:\d+\n500\n`+here+"\n$", out)
}
