package conformance_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// samplesVariable names a checkout of github.com/aws-samples/aws-lambda-extensions, which is not ours to ship.
const samplesVariable = "LAMBDA_EXTENSION_SAMPLES"

// The sample in Python that listens for telemetry.
func TestLongTelemetrySampleInPython(t *testing.T) {
	samples := checkout(t)
	if out, err := exec.Command("python3", "-c", "import requests").CombinedOutput(); err != nil {
		t.Skipf("no python3 with requests here: %s", out)
	}
	r := goClient(t)
	r.layers = []string{filepath.Join(samples, "python-example-telemetry-api-extension")}
	heard := dispatchTo(t, &r)
	run(t, r, 0).twice(func(*machine, map[string]any) {})
	require.Len(t, heard.list(), 2, "telemetry of each environment arrives")
}

// The sample in Python of the Logs API prints what it has received.
func TestLongLogsSample(t *testing.T) {
	samples := checkout(t)
	if _, err := exec.LookPath("python"); err != nil {
		t.Skip("no python here")
	}
	r := goClient(t)
	r.layers, r.output = []string{filepath.Join(samples, "python-example-logs-api-extension")}, &output{}
	run(t, r, 0).twice(func(*machine, map[string]any) {})
	for _, environment := range r.output.environments() {
		text := r.output.of(environment, "BATCH RECEIVED")
		for _, kind := range []string{"platform.start", "platform.end", "platform.report", "platform.logsSubscription"} {
			require.Contains(t, text, "'type': '"+kind+"'")
		}
	}
	require.Len(t, r.output.environments(), 2)
}

// The sample in Node that stands between the runtime and its API, on one port in each environment.
func TestLongRuntimeAPIProxySample(t *testing.T) {
	const name = "nodejs-example-lambda-runtime-api-proxy-extension"
	samples := checkout(t)
	modules, err := filepath.Abs(nodeModules)
	require.NoError(t, err)
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node here")
	}
	if _, err := os.Stat(filepath.Join(modules, "express")); err != nil {
		t.Skip("no ", nodeModules, "/express: make example-runtimes fetches it, where there is npm")
	}
	needed := t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(needed, "node_modules")))
	r := goClient(t)
	r.layers, r.memoryMB = []string{filepath.Join(samples, name), needed}, 512
	r.command = append([]string{"/opt/wrapper-script.sh"}, r.command...)
	run(t, r, 0).twice(func(m *machine, answer map[string]any) { require.Equal(m.t, true, answer["lrap-processed"]) })
}

// Layers of vendors as they publish them, unpacked, with the variables that they need in a file of lines NAME=value: each must leave the
// function's answer as it is, in two environments at once.
func TestLongPublishedExtensions(t *testing.T) {
	folder := os.Getenv(layersVariable)
	if folder == "" {
		t.Skip("no ", layersVariable)
	}
	layers, err := filepath.Glob(filepath.Join(folder, "*", "extensions"))
	require.NoError(t, err)
	require.NotEmpty(t, layers, "%s has no folder with a folder extensions in it", layersVariable)
	for _, extensions := range layers {
		layer := filepath.Dir(extensions)
		t.Run(filepath.Base(layer), func(t *testing.T) {
			r := goClient(t)
			r.layers, r.env, r.memoryMB = []string{layer}, variablesIn(t, filepath.Join(layer, "variables")), 512
			m := run(t, r, 0)
			m.twice(func(*machine, map[string]any) {})
			require.Zero(t, m.Counters("web").Errors)
		})
	}
}

// nodeModules is where make example-runtimes puts packages for Node.
const nodeModules = "../../.tools/examples-1/node/node_modules"

// layersVariable names a folder with a vendor's layer in each of its folders.
const layersVariable = "LAMBDA_EXTENSION_LAYERS"

// samplesFolder is where make extension-samples puts AWS's samples.
const samplesFolder = "../../.tools/aws-lambda-extensions-cfed93e"

// checkout is where AWS's samples are.
func checkout(t *testing.T) string {
	t.Helper()
	path := os.Getenv(samplesVariable)
	if path == "" {
		path = samplesFolder
	}
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("no ", samplesFolder, ": make extension-samples fetches it; or ", samplesVariable)
	}
	return path
}

func variablesIn(t *testing.T, path string) map[string]string {
	t.Helper()
	vars := map[string]string{}
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return vars
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			vars[name] = value
		}
	}
	return vars
}

// dispatchTo has AWS's samples for telemetry post it here.
func dispatchTo(t *testing.T, r *runtimeClient) *environments {
	heard := &environments{all: map[string]bool{}}
	sink := httptest.NewServer(heard)
	t.Cleanup(sink.Close)
	r.env = map[string]string{"DISPATCH_POST_URI": sink.URL, "DISPATCH_MIN_BATCH_SIZE": "1"}
	return heard
}

// twice has two environments serve at once, and ends both: they have the last word.
func (m *machine) twice(check func(*machine, map[string]any)) {
	m.t.Helper()
	m.twiceServe(order{Do: "busy", Size: 2000}, check)
}

func (m *machine) twiceServe(o order, check func(*machine, map[string]any)) {
	m.t.Helper()
	if !m.Isolated() {
		m.t.Skip("this machine does not permit isolation")
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			var got map[string]any
			m.answer(o, "", &got)
			require.Contains(m.t, got, "busy")
			check(m, got)
		})
	}
	both.Wait()
	require.Equal(m.t, 2, m.Counters("web").Cold)
	require.Equal(m.t, 2, m.Counters("web").Outcomes[lambdalocal.Succeeded])
	for _, e := range m.Environments() {
		require.True(m.t, m.Retire(e.ID))
	}
	require.Eventually(m.t, func() bool { return len(m.Environments()) == 0 }, patience, time.Millisecond)
}

// An output is what processes have said, by environment.
type output struct {
	mu    sync.Mutex
	lines map[string][]string
}

func (o *output) Levels() []logrus.Level { return []logrus.Level{logrus.DebugLevel} }

func (o *output) Fire(e *logrus.Entry) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if environment, ok := e.Data["environment"].(string); ok {
		if o.lines == nil {
			o.lines = map[string][]string{}
		}
		o.lines[environment] = append(o.lines[environment], e.Message)
	}
	return nil
}

func (o *output) environments() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.lines))
}

// of is the lines of an environment that contain a text.
func (o *output) of(environment, text string) (found string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range o.lines[environment] {
		if strings.Contains(line, text) {
			found += line + "\n"
		}
	}
	return found
}

// Environments are those whose telemetry has come.
type environments struct {
	mu  sync.Mutex
	all map[string]bool
}

var instance = regexp.MustCompile(`"instanceId": ?"([0-9a-f]+)"`)

func (e *environments) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, found := range instance.FindAllSubmatch(bytes.TrimSpace(body), -1) {
		e.all[string(found[1])] = true
	}
}

func (e *environments) list() (ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.all {
		ids = append(ids, id)
	}
	return ids
}
