package conformance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// awslambdaric is where make runtimes puts Python's client.
const awslambdaric = "../../.tools/awslambdaric-4.2.2"

// partsVariable says, with the value "required", that what make fetches must be there.
const partsVariable = "TEST_PARTS"

// A runtimeClient is a function that runs on one of AWS's runtime clients.
type runtimeClient struct {
	command   []string
	env       map[string]string
	errorType string // of the function's plain errors
	layers    []string
	output    *output // of all processes; nil: nobody reads it
	memoryMB  int     // 0: the default
	managed   *lambdalocal.Managed
}

// javaClientFolder is where make runtimes puts Java's client.
const javaClientFolder = "../../.tools/aws-lambda-java-2.10.1"

// nodeClientFolder is where make node-runtime puts Node's client, where it can be compiled.
const nodeClientFolder = "../../.tools/aws-lambda-ric-3.3.0/node_modules/aws-lambda-ric"

var runtimeClients = map[string]func(*testing.T) runtimeClient{
	"aws-lambda-go": goClient,
	"awslambdaric":  pythonClient,
}

var slowRuntimeClients = map[string]func(*testing.T) runtimeClient{"aws-lambda-java": javaClient, "aws-lambda-ric": nodeClient}

func goClient(t *testing.T) runtimeClient {
	binary := filepath.Join(t.TempDir(), "function")
	build := exec.Command("go", "build", "-C", "gofunction", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return runtimeClient{command: []string{binary}, errorType: "errorString"}
}

func pythonClient(t *testing.T) runtimeClient {
	client, err := filepath.Abs(awslambdaric)
	require.NoError(t, err)
	app, err := filepath.Abs("pyfunction")
	require.NoError(t, err)
	if _, err := os.Stat(client); err != nil {
		if runtime.GOOS != "linux" || os.Getenv(partsVariable) != "required" {
			t.Skip("no ", awslambdaric, ": make runtimes fetches it, where Python has wheels of it (Linux)")
		}
		require.NoError(t, err)
	}
	return runtimeClient{
		command:   []string{"python3", "-m", "awslambdaric", "app.handle"},
		env:       map[string]string{"PYTHONPATH": client + string(os.PathListSeparator) + app, "PYTHONDONTWRITEBYTECODE": "1"},
		errorType: "ValueError",
	}
}

func nodeClient(t *testing.T) runtimeClient {
	client, err := filepath.Abs(nodeClientFolder)
	require.NoError(t, err)
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node here")
	}
	if _, err := os.Stat(filepath.Join(client, "dist/rapid-client.node")); err != nil {
		t.Skip("no ", nodeClientFolder, ": make node-runtime compiles it, where there are npm, cmake and autotools")
	}
	if strings.HasPrefix(client, "/tmp/") {
		t.Skip("the checkout is below /tmp, of which each environment has its own: the client's modules would not be there")
	}
	return runtimeClient{
		command:   []string{"node", filepath.Join(client, "bin/index.mjs"), "nodefunction/app.handle"},
		errorType: "RangeError",
	}
}

func javaClient(t *testing.T) runtimeClient {
	jars, err := filepath.Abs(javaClientFolder)
	require.NoError(t, err)
	if _, err := exec.LookPath("javac"); err != nil {
		t.Skip("no javac here")
	}
	if _, err := os.Stat(jars); err != nil {
		t.Skip("no ", javaClientFolder, ": make runtimes fetches it, where there is mvn")
	}
	classes, classpath := t.TempDir(), jars+"/*"
	out, err := exec.Command("javac", "-cp", classpath, "-d", classes, "javafunction/App.java").CombinedOutput()
	require.NoError(t, err, string(out))
	return runtimeClient{
		command: []string{
			"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classpath + ":" + classes,
			"com.amazonaws.services.lambda.runtime.api.client.AWSLambda", "App::handleRequest",
		},
		errorType: "java.lang.IllegalStateException",
	}
}
