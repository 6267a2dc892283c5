package conformance_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// samplesVariable names a checkout of github.com/aws-samples/aws-lambda-extensions, which is not ours to ship.
const samplesVariable = "LAMBDA_EXTENSION_SAMPLES"

// AWS's own samples of extensions, unchanged and in a layer, in two environments at once: the plain one, and the one that listens
// for telemetry on the name sandbox and a fixed port, and posts it to a server of this machine.
func TestLongExtensionSamples(t *testing.T) {
	samples := os.Getenv(samplesVariable)
	if samples == "" {
		t.Skip("no ", samplesVariable)
	}
	layer := filepath.Join(t.TempDir(), "layer")
	for _, name := range []string{"go-example-extension", "go-example-telemetry-api-extension"} {
		build := exec.Command("go", "build", "-C", filepath.Join(samples, name), "-mod=mod", "-o", filepath.Join(layer, "extensions", name), ".")
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	heard := &environments{all: map[string]bool{}}
	sink := httptest.NewServer(heard)
	defer sink.Close()
	r := goClient(t)
	r.layers = []string{layer}
	r.env = map[string]string{"DISPATCH_POST_URI": sink.URL, "DISPATCH_MIN_BATCH_SIZE": "1"}
	m := run(t, r, 0)
	if !m.Isolated() {
		t.Skip("this machine does not permit isolation")
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			var got struct{ Busy int }
			m.answer(order{Do: "busy", Size: 2000}, "", &got)
		})
	}
	both.Wait()
	require.Equal(t, 2, m.Counters("web").Cold)
	require.Equal(t, 2, m.Counters("web").Outcomes[lambdalocal.Succeeded])
	for _, e := range m.Environments() {
		require.True(t, m.Retire(e.ID)) // it posts the last of its events
	}
	require.Eventually(t, func() bool { return len(m.Environments()) == 0 }, patience, time.Millisecond)
	require.Len(t, heard.list(), 2, "telemetry of each environment arrives")
}

// Environments are those whose telemetry has come.
type environments struct {
	mu  sync.Mutex
	all map[string]bool
}

var instance = regexp.MustCompile(`"instanceId":"([0-9a-f]+)"`)

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
