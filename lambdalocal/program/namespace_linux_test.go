package program

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// nobody is the number of an ordinary user, who needs no account.
const nobody = 65534

// An ordinary user's environments are isolated too where user namespaces are permitted, its functions have no privileges, and
// Ctrl-C ends all.
func TestAnOrdinaryUserHasIsolatedEnvironments(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir, err := os.MkdirTemp("/tmp", "ordinary-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program := filepath.Join(dir, "lambdalocal")
	out, err := exec.Command("go", "build", "-o", program, "../cmd/lambdalocal").CombinedOutput()
	require.NoError(t, err, string(out))
	runtime := `#!/bin/sh
while :; do
	next=$(curl -sD - "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next" -o /dev/null)
	id=$(echo "$next" | tr -d '\r' | sed -n 's/^Lambda-Runtime-Aws-Request-Id: //p')
	answer="$PWD $(grep -c sandbox.localdomain /etc/hosts) $(sed -n 's/^CapEff:\t//p' /proc/self/status) $(id -u)"
	curl -s -d "$answer" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bootstrap"), []byte(runtime), 0o755))
	cmd := exec.Command(program, "run", "--address", "127.0.0.1:0", "--function", "web=./bootstrap")
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	var log lockedBuffer
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	address := regexp.MustCompile(`address="(\S+)"`)
	require.Eventually(t, func() bool { return address.MatchString(log.String()) }, 10*time.Second, 5*time.Millisecond)
	if strings.Contains(log.String(), "not isolated") {
		t.Skipf("user namespaces are not permitted here: %s", log.String())
	}
	response, err := http.Post("http://"+address.FindStringSubmatch(log.String())[1]+"/2015-03-31/functions/web/invocations", "", strings.NewReader("{}"))
	require.NoError(t, err)
	defer response.Body.Close()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(response.Body)
	require.NoError(t, err)
	require.Equal(t, "/var/task 1 0000000000000000 65534", answer.String())
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, <-ended)
	require.Contains(t, log.String(), "lambdalocal has ended")
}

// A lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
