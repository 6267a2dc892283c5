package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/envoy/envoytest"
)

// pythonApp answers with its process and a word; %s is the word.
const pythonApp = `
import os, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"%s " + str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`

const nodeApp = `
require('http').createServer((request, response) => response.end('%s ' + process.pid)).listen(process.env.PORT);
`

// python is the path of Python 3.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 on the PATH")
	}
	return path
}

// A development is lambda-dispatch dev, or the demo, running.
type development struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex // guards the field below
	out bytes.Buffer
}

func (d *development) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *development) printed() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// develop starts dev in a folder.
func develop(t *testing.T, dir string, args ...string) *development {
	t.Helper()
	return developWith(t, dir, nil, args...)
}

// developWith starts it with more variables.
func developWith(t *testing.T, dir string, env []string, args ...string) *development {
	t.Helper()
	d := &development{t: t, ended: make(chan struct{})}
	d.cmd = exec.Command(controlplanetest.Build(t, "cmd/lambda-dispatch"), append([]string{"dev"}, args...)...)
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, d, d
	d.cmd.Env = append(append(os.Environ(), "ENVOY="+envoytest.Binary(t)), env...)
	d.start()
	return d
}

// start starts the program. It is stopped when the test ends.
func (d *development) start() {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Start())
	go func() {
		defer close(d.ended)
		_ = d.cmd.Wait()
	}()
	d.t.Cleanup(func() {
		d.stop()
		if d.t.Failed() {
			d.t.Logf("it printed:\n%s", d.printed())
		}
	})
}

// stop is Ctrl-C, and returns the exit status.
func (d *development) stop() int {
	_ = d.cmd.Process.Signal(os.Interrupt)
	select {
	case <-d.ended:
	case <-time.After(controlplanetest.Patience):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	return d.cmd.ProcessState.ExitCode()
}

// says waits until a pattern is printed and returns its first group.
func (d *development) says(pattern string) string {
	d.t.Helper()
	expression := regexp.MustCompile(pattern)
	var match []string
	require.Eventually(d.t, func() bool {
		match = expression.FindStringSubmatch(d.printed())
		return match != nil
	}, controlplanetest.Patience, 20*time.Millisecond, pattern)
	return match[len(match)-1]
}

func (d *development) url() string { return d.says(`(http://127\.0\.0\.1:\d+/)   your app`) }

// devAnswer returns the word and the process in the app's answer; an error for any other answer.
func devAnswer(url string) (word string, process int, err error) {
	response, err := http.Get(url)
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return "", 0, errors.Join(err, fmt.Errorf("%s: %s", response.Status, body))
	}
	_, err = fmt.Sscanf(string(body), "%s %d", &word, &process)
	return word, process, err
}

// until asks again and again until the app answers with a word. Every request must be answered.
func until(t *testing.T, url, want string) (process int) {
	t.Helper()
	for deadline := time.Now().Add(controlplanetest.Patience); ; {
		word, process, err := devAnswer(url)
		require.NoError(t, err)
		if word == want {
			return process
		}
		require.True(t, time.Now().Before(deadline), "the app still answers %q", word)
	}
}

func write(t *testing.T, dir, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
}

// developed holds what dev promises of any app: an answer, that of the next version without a failed request, the old version
// where the next one does not start, and nothing left in the end.
func developed(t *testing.T, file, app, broken string, command ...string) {
	dir := t.TempDir()
	write(t, dir, file, fmt.Sprintf(app, "one"))
	d := develop(t, dir, append([]string{"--front", "127.0.0.1:0", "--"}, command...)...)
	url := d.url()
	first := until(t, url, "one")
	write(t, dir, file, fmt.Sprintf(app, "two"))
	second := until(t, url, "two")
	require.NotEqual(t, first, second)
	d.says(`dev \| ` + file + ` changed: version 2 is on its way\n(?s:.*)dev \| version 2 serves\n`)

	write(t, dir, file, broken)
	d.says(`dev \| (version 3 was given up: .*Version 2 still serves)\n`)
	word, _, err := devAnswer(url)
	require.NoError(t, err)
	require.Equal(t, "two", word)
	write(t, dir, file, fmt.Sprintf(app, "four"))
	last := until(t, url, "four")
	admin := d.says(`(http://127\.0\.0\.1:\d+/)   what happens`)
	response, err := http.Get(admin)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)

	require.Zero(t, d.stop())
	require.Contains(t, d.printed(), "stopping")
	for _, process := range []int{first, second, last} {
		require.ErrorIs(t, syscall.Kill(process, 0), syscall.ESRCH, "process %d is still there", process)
	}
	_, _, err = devAnswer(url)
	require.Error(t, err, "the front is closed")
}

func TestDevServesAPythonAppAndItsNextVersions(t *testing.T) {
	t.Parallel()
	developed(t, "app.py", pythonApp, "syntax error here(", python(t), "app.py")
}

// What is saved while everything starts is the next version. The folder is one to which a link leads, as where releases lie beside
// each other, and the shell has the variables of another control plane.
func TestDevServesWhatIsSavedWhileItStarts(t *testing.T) {
	t.Parallel()
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "current")
	require.NoError(t, os.Symlink(dir, link))
	write(t, dir, "app.py", fmt.Sprintf(pythonApp, "one"))
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("of-another-control-plane"), 0o600))
	d := developWith(t, link, []string{"PWD=" + link, "LAMBDA_DISPATCH_CONTROL_ADMIN_TOKEN_FILE=" + token},
		"--front", "127.0.0.1:0", "--verbose", "--", python(t), "app.py")
	d.says("(control plane runs)")
	write(t, dir, "app.py", fmt.Sprintf(pythonApp, "another"))
	until(t, d.url(), "another")
	require.Zero(t, d.stop())
}

func TestLongDevServesANodeAppAndItsNextVersions(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node on the PATH")
	}
	developed(t, "server.js", nodeApp, "syntax error here(", node, "server.js")
}

// An app that does not listen where it should is told where it should, and where it does.
func TestDevSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	program := python(t)
	for name, c := range map[string]struct {
		app  string
		says string
	}{
		"nowhere":   {"import time; time.sleep(600)", `It should listen on the port that is in the variable PORT, and (listens nowhere yet)\n`},
		"elsewhere": {"import http.server as s; s.ThreadingHTTPServer(('127.0.0.1', 8123), s.SimpleHTTPRequestHandler).serve_forever()", `and listens (on 8123: --port 8123 tells us so|nowhere yet)\n`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := develop(t, t.TempDir(), "--front", "127.0.0.1:0", "--", program, "-c", c.app)
			d.says(`dev \| waiting for the app: GET http://127\.0\.0\.1:\d+/: connection refused\. ` + `.*` + c.says)
			require.NotContains(t, d.printed(), "your app")
			require.Zero(t, d.stop())
		})
	}
}

// The app of somebody whose database is down: what it prints is shown, and why nothing is served.
func TestDevShowsWhyAnAppDoesNotStart(t *testing.T) {
	t.Parallel()
	d := develop(t, t.TempDir(), "--front", "127.0.0.1:0", "--", python(t), "-c", "raise SystemExit('no database')")
	d.says(`app 1 \| (no database)\n`)
	d.says(`dev \| the app does not start: (starts fail: crashed; .*exit status 1)\n`)
	require.Zero(t, d.stop())
}

func TestDevSaysThatTheAppHasEnded(t *testing.T) {
	t.Parallel()
	const app = `import http.server as s, os
class H(s.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash": os._exit(3)
        self.send_response(204); self.end_headers()
s.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()`
	d := develop(t, t.TempDir(), "--front", "127.0.0.1:0", "--", python(t), "-c", app)
	response, err := http.Get(d.url() + "crash")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusBadGateway, response.StatusCode)
	d.says(`dev \| (app 1 ended \(exit status 3\) while it served .*GET /crash; another one starts)\n`)
	response, err = http.Get(d.url())
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusNoContent, response.StatusCode)
	require.Zero(t, d.stop())
	require.NotContains(t, d.printed(), "lambdapeer: ")
}

// An app with a port of its own, where environments have networks of their own.
func TestDevServesAnAppThatChoosesItsPort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "app.py", strings.Replace(fmt.Sprintf(pythonApp, "one"), `int(os.environ["PORT"])`, "8124", 1))
	d := develop(t, dir, "--front", "127.0.0.1:0", "--port", "8124", "--", python(t), "app.py")
	until(t, d.url(), "one")
	require.Zero(t, d.stop())
}

// A file that is saved as it was, or put back, is no failure.
func TestDevTakesWhatIsSavedUnchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "app.py", fmt.Sprintf(pythonApp, "one"))
	d := develop(t, dir, "--front", "127.0.0.1:0", "--", python(t), "app.py")
	until(t, d.url(), "one")
	for _, again := range []time.Duration{time.Hour, 2 * time.Hour} {
		require.NoError(t, os.Chtimes(filepath.Join(dir, "app.py"), time.Time{}, time.Now().Add(-again)))
		d.says(`(app\.py changed: version 1 is on its way|app\.py has changed)`)
	}
	write(t, dir, "app.py", fmt.Sprintf(pythonApp, "two"))
	until(t, d.url(), "two")
	require.NotContains(t, d.printed(), "is not served")
	require.Zero(t, d.stop())
}

// What reads the output may end first, as tee does with Ctrl-C: requests in flight are answered, and nothing is left.
func TestDevEndsWithWhoeverReadsWhatItPrints(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temporary, err := os.MkdirTemp("", "ld") // t.TempDir is too long for unix sockets
	require.NoError(t, err)
	defer os.RemoveAll(temporary)
	write(t, dir, "app.py", strings.Replace(fmt.Sprintf(pythonApp, "one"), "def do_GET(self):", "def do_GET(self):\n"+
		`        if self.path == "/held": print("held", flush=True); import time; time.sleep(2)`, 1))
	d := &development{t: t, ended: make(chan struct{})}
	read, printed, err := os.Pipe()
	require.NoError(t, err)
	d.cmd = exec.Command(controlplanetest.Build(t, "cmd/lambda-dispatch"), "dev", "--front", "127.0.0.1:0", "--", python(t), "app.py")
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, printed, printed
	d.cmd.Env = append(os.Environ(), "ENVOY="+envoytest.Binary(t), "TMPDIR="+temporary)
	d.start()
	require.NoError(t, printed.Close())
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(d, read) }()
	url, answered := d.url(), make(chan error, 1)
	go func() {
		_, _, err := devAnswer(url + "held")
		answered <- err
	}()
	d.says(`app 1 \| (held)`)
	require.NoError(t, read.Close())
	<-copied
	require.NoError(t, d.cmd.Process.Signal(os.Interrupt))
	require.NoError(t, <-answered)
	<-d.ended
	require.Zero(t, d.cmd.ProcessState.ExitCode())
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

// What cannot work ends at once, with one line.
func TestDevRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	for says, c := range map[string]struct {
		args []string
		code int
	}{
		`dev: there is no program "no-such-program" on the PATH`:                                                                    {[]string{"--", "no-such-program"}, 1},
		`dev: there is no program "cd app && node x.js" on the PATH; a line for a shell is written: -- sh -c 'cd app && node x.js'`: {[]string{"--", "cd app && node x.js"}, 1},
		`dev: there is no program "A=b" on the PATH; a line for a shell is written: -- sh -c 'A=b node x.js'`:                       {[]string{"--", "A=b", "node", "x.js"}, 1},
		"dev: --front: port " + port + " is in use; without --front a free one is chosen":                                           {[]string{"--front", "127.0.0.1:" + port, "--", "true"}, 1},
		"dev: no command given: lambda-dispatch dev [FLAG]... -- COMMAND [ARGUMENT]...":                                             {nil, 2},
		"dev: unknown flag: --cold":                                                            {[]string{"--cold", "8s", "--", "true"}, 2},
		"dev: --concurrency: must be from 1 to 1000, got 0":                                    {[]string{"--concurrency", "0", "--", "true"}, 2},
		"dev: --max must be from 1 to 5000, and --min from 0 to --max, got --min 1 --max 5001": {[]string{"--max", "5001", "--", "true"}, 2},
		"dev: --dir: stat nowhere: no such file or directory":                                  {[]string{"--dir", "nowhere", "--", "true"}, 1},
		`dev: --front: must be host:port, got "8080"`:                                          {[]string{"--front", "8080", "--", "true"}, 2},
	} {
		d := develop(t, t.TempDir(), c.args...)
		<-d.ended
		require.Equal(t, says+"\n", d.printed())
		require.Equal(t, c.code, d.cmd.ProcessState.ExitCode(), says)
	}
}

// What README.md says of one's own app works as it stands there, but for the path of the program, which is built elsewhere here.
func TestDevAsTheReadmeSays(t *testing.T) {
	t.Parallel()
	python(t)
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^build/lambda-dispatch dev (.*)$`).FindSubmatch(text)
	require.NotNil(t, command)
	d := develop(t, "../..", append([]string{"--front", "127.0.0.1:0"}, strings.Fields(string(command[1]))...)...)
	response, err := http.Get(d.url() + "hello")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "Hello from Python")
	require.Zero(t, d.stop())
}
