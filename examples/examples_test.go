// Package examples tests the demo apps as what they are without Lambda: plain HTTP servers on $PORT.
package examples

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// reply is what the JSON answers of all apps have in common.
type reply struct {
	Message     string `json:"message"`
	Error       string `json:"error"`
	SleptMS     int    `json:"slept_ms"`
	Event       int    `json:"event"`
	Language    string `json:"language"`
	Environment string `json:"environment"`
	InFlight    int    `json:"in_flight"`
	Served      int    `json:"served"`
}

func TestGo(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "app")
	sources, err := filepath.Glob("../lambdapeer/*.go")
	require.NoError(t, err)
	dependOn(t, append(sources, "go/main.go", "go/app.go")...)
	out, err := exec.Command("go", "build", "-o", binary, "./go").CombinedOutput()
	require.NoError(t, err, "%s", out)
	testApp(t, "go", exec.Command(binary))
}

func TestNode(t *testing.T) {
	dependOn(t, "node/server.mjs")
	testApp(t, "node", exec.Command(program(t, "node"), "node/server.mjs"))
}

func TestPython(t *testing.T) {
	dependOn(t, "python/server.py")
	testApp(t, "python", exec.Command(program(t, "python3"), "python/server.py"))
}

// dependOn makes a cached result of this test go stale when a file changes that only a child process reads.
func dependOn(t *testing.T, files ...string) {
	for _, file := range files {
		_, err := os.Stat(file)
		require.NoError(t, err)
	}
}

func program(t *testing.T, name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func testApp(t *testing.T, language string, cmd *exec.Cmd) {
	url := start(t, cmd)
	t.Run("hello", func(t *testing.T) { testHello(t, url, language) })
	t.Run("sleep", func(t *testing.T) { testSleep(t, url) })
	t.Run("bad values", func(t *testing.T) { testBadValues(t, url) })
	t.Run("echo", func(t *testing.T) { testEcho(t, url) })
	t.Run("unread body", func(t *testing.T) { testUnreadBody(t, url) })
	t.Run("stream", func(t *testing.T) { testStream(t, url) })
	t.Run("client leaves", func(t *testing.T) { testClientLeaves(t, url) })
	t.Run("sigterm", func(t *testing.T) { testSigterm(t, url, cmd) })
}

// start runs an app on a free port, waits until it is ready and returns its URL. It is killed when the test ends.
func start(t *testing.T, cmd *exec.Cmd) string {
	port := freePort(t)
	output := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "AWS_LAMBDA_LOG_STREAM_NAME=an-environment")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it fails when the app left as it should
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the app's output: %s", output)
		}
	})
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		response, err := http.Get(url + "/")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusNoContent
	}, 20*time.Second, 10*time.Millisecond)
	return url
}

func freePort(t *testing.T) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

func get(t *testing.T, url string, status int) reply {
	response, err := http.Get(url)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, status, response.StatusCode)
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	var r reply
	require.NoError(t, json.NewDecoder(response.Body).Decode(&r))
	return r
}

func testHello(t *testing.T, url, language string) {
	first := get(t, url+"/hello", http.StatusOK)
	require.Contains(t, first.Message, "Hello from")
	require.Equal(t, language, first.Language)
	if language == "go" { // lambdapeer names it
		require.NotEmpty(t, first.Environment)
	} else {
		require.Equal(t, "an-environment", first.Environment)
	}
	require.Equal(t, 1, first.InFlight)
	require.Eventually(t, func() bool {
		return get(t, url+"/hello", http.StatusOK).Served > first.Served
	}, 10*time.Second, time.Millisecond)
}

func testSleep(t *testing.T, url string) {
	require.Equal(t, 20, get(t, url+"/sleep?ms=20", http.StatusOK).SleptMS)
	go func() { // a second request in flight beside those below
		if response, err := http.Get(url + "/sleep?ms=500"); err == nil {
			_ = response.Body.Close()
		}
	}()
	eventuallyInFlight(t, url, 2)
}

func testBadValues(t *testing.T, url string) {
	for _, value := range []string{"x", "-1", "60001", "1.5", "99999999999999999999"} {
		r := get(t, url+"/sleep?ms="+value, http.StatusBadRequest)
		require.Equal(t, fmt.Sprintf("ms: must be a whole number from 0 to 60000, got %q", value), r.Error)
	}
	require.Contains(t, get(t, url+"/stream?n=x", http.StatusBadRequest).Error, "n: must be")
}

func testEcho(t *testing.T, url string) {
	body := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(body)
	for name, reader := range map[string]io.Reader{
		"content-length": bytes.NewReader(body),
		"chunked":        io.MultiReader(bytes.NewReader(body)),
	} {
		response, err := http.Post(url+"/echo", "image/png", reader)
		require.NoError(t, err, name)
		got, err := io.ReadAll(response.Body)
		require.NoError(t, err, name)
		_ = response.Body.Close()
		require.True(t, bytes.Equal(body, got), name)
		require.Equal(t, "image/png", response.Header.Get("Content-Type"), name)
	}
}

// A route that ignores its body must leave the connection usable.
func testUnreadBody(t *testing.T, url string) {
	for range 3 {
		response, err := http.Post(url+"/hello", "text/plain", strings.NewReader("unread"))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		_ = response.Body.Close()
		require.Equal(t, http.StatusOK, response.StatusCode)
	}
}

// Events arrive while the answer goes on: the first is read here minutes before the last would be written.
func testStream(t *testing.T, url string) {
	response, err := http.Get(url + "/stream?n=3&ms=50000")
	require.NoError(t, err)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	require.Equal(t, 1, nextEvent(t, bufio.NewReader(response.Body)).Event)
	_ = response.Body.Close()

	response, err = http.Get(url + "/stream?n=3&ms=1")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	reader := bufio.NewReader(response.Body)
	for event := 1; event <= 3; event++ {
		require.Equal(t, event, nextEvent(t, reader).Event)
	}
	_, err = reader.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func nextEvent(t *testing.T, r *bufio.Reader) reply {
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	data, found := strings.CutPrefix(line, "data: ")
	require.True(t, found, "%q", line)
	var event reply
	require.NoError(t, json.Unmarshal([]byte(data), &event))
	_, err = r.ReadString('\n')
	require.NoError(t, err)
	return event
}

// A client that leaves frees what its request held, long before the request would have ended by itself.
func testClientLeaves(t *testing.T, url string) {
	response, err := http.Get(url + "/stream?n=3&ms=60000")
	require.NoError(t, err)
	_ = response.Body.Close()
	eventuallyInFlight(t, url, 1)
}

// After SIGTERM a request in flight is still answered, then the app leaves without an error.
func testSigterm(t *testing.T, url string, cmd *exec.Cmd) {
	eventuallyInFlight(t, url, 1)
	status := make(chan int)
	go func() {
		defer close(status)
		if response, err := http.Get(url + "/sleep?ms=500"); err == nil {
			_ = response.Body.Close()
			status <- response.StatusCode
		}
	}()
	eventuallyInFlight(t, url, 2)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, http.StatusOK, <-status)
	kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	require.NoError(t, cmd.Wait())
}

func eventuallyInFlight(t *testing.T, url string, n int) {
	require.Eventually(t, func() bool {
		return get(t, url+"/hello", http.StatusOK).InFlight == n
	}, 10*time.Second, time.Millisecond)
}
