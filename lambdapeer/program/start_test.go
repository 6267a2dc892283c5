package program

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/runtimetest"
)

// maxBinary is what the stripped binary may weigh: every cold start loads it.
const maxBinary = 8 << 20

func build(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "lambdapeer")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, "../cmd/lambdapeer")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return file
}

func TestBinaryIsSmall(t *testing.T) {
	info, err := os.Stat(build(t))
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(maxBinary))
}

// BenchmarkStart measures from starting the extension to its first call for an invocation, beside an app that is ready.
func BenchmarkStart(b *testing.B) {
	file := build(b)
	api := runtimetest.Start(b)
	app := newApp(b, func(http.ResponseWriter, *http.Request) {})
	var total time.Duration
	for b.Loop() {
		cmd := exec.Command(file)
		cmd.Env = []string{apiVar + "=" + api.Address(), portVar + "=" + portOf(app)}
		cmd.Stderr = io.Discard
		began := time.Now()
		require.NoError(b, cmd.Start())
		<-api.Registered
		total += (<-api.Asked).Sub(began)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/start")
}
