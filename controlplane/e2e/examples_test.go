package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest/app/websocket"
)

// An example is how an app of examples/ is run behind everything.
type example struct {
	folder  string   // below examples/, or below where the make target built it
	needs   string   // below .tools/examples-1; made by a make target
	program string   // on the PATH
	env     []string // {} is where needs is
	command []string
	says    string
	client  bool // it says who asked
}

// examplesTools is where the make targets put what the examples need.
const examplesTools = "../../.tools/examples-1"

func serve(t *testing.T, e example) *development {
	t.Helper()
	if _, err := exec.LookPath(e.program); err != nil {
		t.Skipf("no %s on the PATH", e.program)
	}
	tools, err := filepath.Abs(filepath.Join(examplesTools, e.needs))
	require.NoError(t, err)
	if _, err := os.Stat(tools); err != nil {
		t.Skipf("%s is not there: make example-runtimes example-builds", e.needs)
	}
	folder := filepath.Join("../../examples", e.folder)
	if strings.HasPrefix(e.folder, "{}") {
		folder = strings.Replace(e.folder, "{}", tools, 1)
	}
	env := make([]string, 0, len(e.env))
	for _, variable := range e.env {
		env = append(env, strings.Replace(variable, "{}", tools, 1))
	}
	args := append([]string{"--front", "127.0.0.1:0", "--no-reload", "--dir", folder, "--"}, e.command...)
	return developWith(t, ".", env, args...)
}

// otherClient is an address of loopback that nobody else connects from: an app that knows it has read what Envoy says.
const otherClient = "127.0.0.77"

func fromOtherClient() *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(otherClient)}}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, address)
	}}}
}

// Each example answers through Envoy, and those that say who asked know the client behind it.
func TestLongExamples(t *testing.T) {
	gunicorn := func(app string) []string { return []string{"python3", "-m", "gunicorn", app} }
	for name, e := range map[string]example{
		"express": {
			folder: "express", needs: "node", program: "node", env: []string{"NODE_PATH={}/node_modules"},
			command: []string{"node", "server.js"}, says: "Hello from Express", client: true,
		},
		"fastapi": {
			folder: "fastapi", needs: "python", program: "python3", env: []string{"PYTHONPATH={}"},
			command: []string{"python3", "-m", "uvicorn", "main:app", "--port", "{port}", "--proxy-headers", "--forwarded-allow-ips", "127.0.0.1"},
			says:    "Hello from FastAPI", client: true,
		},
		"flask": {
			folder: "flask", needs: "python", program: "python3", env: []string{"PYTHONPATH={}"},
			command: gunicorn("app:app"), says: "Hello from Flask", client: true,
		},
		"django": {
			folder: "django", needs: "python", program: "python3", env: []string{"PYTHONPATH={}"},
			command: gunicorn("app:application"), says: "Hello from Django", client: true,
		},
	} {
		t.Run(name, func(t *testing.T) { answersAsItself(t, e) })
	}
	t.Run("websockets", func(t *testing.T) {
		d := serve(t, example{
			folder: "websockets", needs: "node", program: "node", env: []string{"NODE_PATH={}/node_modules"}, command: []string{"node", "server.js"},
		})
		conn, _, err := websocket.Dial(t.Context(), d.url()+"ws", nil)
		require.NoError(t, err)
		require.NoError(t, conn.Write(websocket.Text, []byte("hello")))
		_, message, err := conn.Read()
		require.NoError(t, err)
		require.Equal(t, "hello", string(message))
		require.NoError(t, conn.Drop())
	})
	t.Run("grpc", func(t *testing.T) {
		program := controlplanetest.Build(t, "examples/grpc")
		d := developWith(t, t.TempDir(), []string{"LAMBDA_DISPATCH_PEER_PROTOCOL=h2c", "LAMBDA_DISPATCH_PEER_READINESS_PROTOCOL=tcp"},
			"--front", "127.0.0.1:0", "--", program)
		address := strings.TrimSuffix(strings.TrimPrefix(d.url(), "http://"), "/")
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		require.NoError(t, err)
		require.Equal(t, healthv1.HealthCheckResponse_SERVING, answer.Status)
	})
}

// The examples that are built first.
func TestLongExamplesThatAreBuilt(t *testing.T) {
	for name, e := range map[string]example{
		"nextjs": {
			folder: "{}/.next/standalone", needs: "nextjs", program: "node", env: []string{"HOSTNAME=127.0.0.1", "NODE_ENV=production"},
			command: []string{"node", "server.js"}, says: "Hello from Next.js over",
		},
		"spring": {
			folder: "{}/target", needs: "spring", program: "java", command: []string{"java", "-XX:TieredStopAtLevel=1", "-jar", "app.jar"},
			says: "Hello from Spring Boot", client: true,
		},
		"rust": {folder: "{}/target/release", needs: "rust", program: "cargo", command: []string{"./app"}, says: "Hello from Rust over http"},
	} {
		t.Run(name, func(t *testing.T) { answersAsItself(t, e) })
	}
}

func answersAsItself(t *testing.T, e example) {
	d := serve(t, e)
	response, err := fromOtherClient().Get(d.url())
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
	require.Contains(t, string(body), e.says)
	if e.client {
		require.Contains(t, string(body), otherClient)
	}
	require.Zero(t, d.stop())
}
