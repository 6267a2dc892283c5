package cli

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/keypair/keypairtest"
)

// asProgram makes this test binary the program itself, for what only a process can show.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// valid is about the smallest configuration.
const valid = "{aws: {region: eu-central-1}, relay: {advertise: 'relay.example.com:7443'}, functions: [{name: web, routes: [{path: /web}]}]}"

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "controlplane.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// try runs the program with arguments and returns what it printed.
func try(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, nil, &out, &errs)
	return out.String(), errs.String(), err
}

// stateDir is short, as sockets' paths must be, and tells run to use it.
func stateDir(t *testing.T) (dir string, flags []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ld")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir, []string{"--set", "state_dir=" + dir, "--set", "admin.address=127.0.0.1:0", "--set", "relay.address=127.0.0.1:0"}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"help", "run"}, {"run", "-h"}, {"check", "--help"}} {
		stdout, stderr, err := try(t, args...)
		require.NoError(t, err, args)
		require.Contains(t, stdout, "Usage:", args)
		require.Contains(t, stdout, controlplane.EnvPrefix+"ADMIN_ADDRESS", args)
		require.Empty(t, stderr, args)
	}
}

func TestVersion(t *testing.T) {
	for _, name := range []string{"version", "--version"} {
		stdout, stderr, err := try(t, name)
		require.NoError(t, err)
		require.Equal(t, controlplane.Version()+"\n", stdout)
		require.Empty(t, stderr)
	}
}

func TestMistakesInTheCommandLine(t *testing.T) {
	empty := file(t, "")
	for _, c := range []struct {
		args []string
		says string
		code int
	}{
		{[]string{"stats"}, `unknown command "stats", did you mean status?: cert, check, completion, dev, drain, estimate, key, relay, rollout, run, secret, simulate, status, version`, 2},
		{[]string{""}, `unknown command "": cert, check, completion, dev, drain, estimate, key, relay, rollout, run, secret, simulate, status, version`, 2},
		{[]string{"--nonsense"}, "unknown flag: --nonsense", 2},
		{[]string{"run", "--config", "x"}, "run: unknown flag: --config", 2},
		{[]string{"check", "--set"}, "check: flag needs an argument: --set", 2},
		{[]string{"run", "a.yaml", "b.yaml"}, `run: must be one configuration file, got ["a.yaml" "b.yaml"]`, 2},
		{[]string{"check", "/nowhere.yaml"}, "read configuration: open /nowhere.yaml: no such file or directory", 1},
		{[]string{"run", "--set", "admin.adress=:1", empty}, "configuration " + empty + ":\nadmin.adress: unknown key, did you mean admin.address?", 1},
		{[]string{"run", "--set", "log.level", empty}, `run: --set: must be KEY=VALUE, got "log.level"`, 2},
		{[]string{"check", "--set", "=warn", empty}, `check: --set: must be KEY=VALUE, got "=warn"`, 2},
		{[]string{"drain", "--now=maybe", "web"}, `drain: --now: must be true or false, got "maybe"`, 2},
		{[]string{"cert", "pair", "--name", "a", "/nowhere.yaml"}, "cert pair: --name NAME and --out DIR are needed, and --days of at least 1", 2},
		{[]string{"check", ""}, "check: the name of the configuration file is empty: is a variable not set?", 2},
		{[]string{"run", ""}, "run: the name of the configuration file is empty: is a variable not set?", 2},
		{[]string{"key", "make", "x"}, `key: unknown command "make": new, public`, 2},
		{[]string{"completion"}, "completion: a command is missing: bash, fish, powershell, zsh", 2},
		{[]string{"completion", "tcsh"}, `completion: unknown command "tcsh": bash, fish, powershell, zsh`, 2},
		{[]string{"completion", "bash", "x"}, `completion bash: unexpected argument "x": lambda-dispatch completion bash`, 2},
		{[]string{"dev", "--front", "8080", "--", "true"}, `dev: --front: must be host:port, got "8080"`, 2},
		{[]string{"dev", "--front", "127.0.0.1:99999", "--", "true"}, `dev: --front: must be host:port, got "127.0.0.1:99999"`, 2},
		{[]string{"status", "--admin", "127.0.0.1:99999"}, `status: --admin: must be host:port, got "127.0.0.1:99999"`, 2},
		{[]string{"run"}, "run: no configuration file given: lambda-dispatch run [--set KEY=VALUE]... FILE", 2},
		{[]string{"check", "--set", "log.level=warn"}, "check: no configuration file given: lambda-dispatch check [--set KEY=VALUE]... FILE", 2},
	} {
		stdout, stderr, err := try(t, c.args...)
		require.EqualError(t, err, c.says)
		require.Equal(t, c.code, exitCode(err), c.args)
		require.Empty(t, stdout+stderr, "main prints the error, and nobody else")
	}
	_, stderr, err := try(t)
	require.EqualError(t, err, "no command given: cert, check, completion, dev, drain, estimate, key, relay, rollout, run, secret, simulate, status, version")
	require.Contains(t, stderr, "Usage:")
}

func TestCheckReportsEveryMistakeAtOnce(t *testing.T) {
	for _, command := range []string{"check", "run"} {
		_, _, err := try(t, command, file(t, "{relay: {tls: maybe}, admin: {address: nowhere}}"))
		require.ErrorContains(t, err, "relay.tls: must be one of auto, files, off", command)
		require.ErrorContains(t, err, "admin.address: must be host:port", command)
	}
}

func TestCheckSaysWhatItChecked(t *testing.T) {
	stdout, stderr, err := try(t, "check", file(t, valid))
	require.NoError(t, err)
	first, second, _ := strings.Cut(stdout, "\n")
	require.Equal(t, "the configuration is valid", first)
	require.Regexp(t, "^(Envoy .* accepts what it would be sent|not checked by Envoy: no envoy .*)\n$", second)
	require.Empty(t, stderr)
}

func TestCheckSaysWhatPlainLambdaDoesForLess(t *testing.T) {
	one := "{aws: {region: eu-central-1, endpoint: 'http://127.0.0.1:9001'}, functions: [{name: web, routes: [{path: /web}], scaling: {concurrency: 1}}]}"
	stdout, _, err := try(t, "check", file(t, one))
	require.NoError(t, err)
	require.Contains(t, stdout, "warning: functions[0].scaling.concurrency: function web: with concurrency 1 plain Lambda is cheaper")
}

// What cannot work is printed with what may not, and the exit status is 1.
func TestCheckAddsUp(t *testing.T) {
	text := strings.Replace(strings.Replace(valid, "eu-central-1", "eu-central-1, account_concurrency: 50", 1), "relay.example.com", "127.0.0.1", 1)
	stdout, _, err := try(t, "check", "--set", "relay.max_connections=100", file(t, text))
	require.EqualError(t, err, "2 of the above cannot work")
	require.Equal(t, 1, exitCode(err))
	require.NotContains(t, stdout, "the configuration is valid")
	require.Contains(t, stdout, "\nerror: functions[0].scaling.max: 100 instances cannot run: the account has 50 concurrent executions; set it to 50 at most")
	require.Contains(t, stdout, "\nerror: relay.advertise: function web would dial 127.0.0.1, which is its own environment; advertise")
	require.Contains(t, stdout, "\nwarning: relay.max_connections: instances may need 375 connections to the relay, it takes 100; ")
}

func TestCheckLooksAtCertificates(t *testing.T) {
	config := func(w keypairtest.Wish) string {
		w.Names = []string{"front.test"}
		certificate, key := keypairtest.Files(t, w)
		return file(t, "{aws: {region: eu-central-1, endpoint: 'http://127.0.0.1:9001'}, functions: [{name: web, routes: [{path: /web}]}], listeners: [{name: front, "+
			"address: '127.0.0.1:8443', tls: {certificate_file: "+certificate+", key_file: "+key+"}}]}")
	}
	now := time.Now()
	stdout, _, err := try(t, "check", config(keypairtest.Wish{Until: now.Add(15 * 24 * time.Hour)}))
	require.NoError(t, err)
	require.NotContains(t, stdout, "warning")
	stdout, _, err = try(t, "check", config(keypairtest.Wish{Until: now.Add(10*24*time.Hour + time.Hour)}))
	require.NoError(t, err)
	require.Contains(t, stdout, "\nwarning: listeners[0].tls.certificate_file: the certificate expires in 10 days, at ")
	stdout, _, err = try(t, "check", config(keypairtest.Wish{Until: now.Add(-time.Hour)}))
	require.ErrorContains(t, err, "listeners[0].tls.certificate_file: the certificate has expired, at ")
	require.Empty(t, stdout)
}

func TestCheckWarnsOfAFileWithoutFunctions(t *testing.T) {
	for _, text := range []string{"", "aws: {region: eu-central-1}"} {
		stdout, _, err := try(t, "check", file(t, text))
		require.NoError(t, err)
		require.Contains(t, stdout, "\nwarning: no functions: every request gets 404\n")
	}
}

func TestRunWarnsOfAFileWithoutFunctions(t *testing.T) {
	p := start(t, "")
	p.says("no functions: every request gets 404")
	p.says("control plane runs")
	p.signal()
	require.NoError(t, p.end())
}

func TestCheckOpensNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, _, err = try(t, "check", "--set", "admin.address="+l.Addr().String(), "--set", "state_dir=/nowhere", file(t, valid))
	require.NoError(t, err)
}

func TestRunFailsOnAPortInUseWithOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, flags := stateDir(t)
	args := append(append([]string{"run"}, flags...), "--set", "admin.address="+l.Addr().String(), file(t, valid))
	_, stderr, err := try(t, args...)
	require.EqualError(t, err, "admin address: listen tcp "+l.Addr().String()+": bind: address already in use")
	require.Empty(t, stderr)
}

func TestEnvironmentAndFlagsOverrideTheFile(t *testing.T) {
	path := file(t, valid)
	environ := []string{controlplane.EnvPrefix + "LOG_LEVEL=nonsense"}
	err := run(t.Context(), []string{"check", path}, environ, io.Discard, io.Discard)
	require.ErrorContains(t, err, "log.level")
	err = run(t.Context(), []string{"check", "--set", "log.level=warn", path}, environ, io.Discard, io.Discard)
	require.NoError(t, err)
}

func TestNoColourWhereNobodyWantsIt(t *testing.T) {
	cfg, err := controlplane.LoadConfig("", nil, nil)
	require.NoError(t, err)
	for setting, off := range map[string]bool{"NO_COLOR=1": true, "NO_COLOR=": false, "NO_COLOURS=1": false} {
		format := (&app{environ: []string{setting}, stderr: io.Discard}).logger(cfg).Formatter.(*logrus.TextFormatter)
		require.Equal(t, off, format.DisableColors, setting)
	}
}

// A process is the program, running.
type process struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	file string // of its configuration
	pipe io.Closer
	log  *bufio.Scanner
}

func start(t *testing.T, config string, more ...string) *process {
	t.Helper()
	return startCommand(t, "run", config, more...)
}

// startCommand starts run or relay.
func startCommand(t *testing.T, command, config string, more ...string) *process {
	t.Helper()
	dir, flags := stateDir(t)
	name := file(t, config)
	cmd := exec.Command(os.Args[0], slices.Concat([]string{command}, flags, more, []string{name})...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // in vain, unless the test has failed
	return &process{Cmd: cmd, t: t, dir: dir, file: name, pipe: log, log: bufio.NewScanner(log)}
}

// write gives the process another configuration, at once as editors and orchestrators do.
func (p *process) write(config string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(p.file+".new", []byte(config), 0o600))
	require.NoError(p.t, os.Rename(p.file+".new", p.file))
}

// says reads the log up to a line that contains text.
func (p *process) says(text string) {
	p.t.Helper()
	for p.log.Scan() {
		if strings.Contains(p.log.Text(), text) {
			return
		}
	}
	require.Failf(p.t, "the program ended", "and did not say %q", text)
}

func (p *process) signal() {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(syscall.SIGTERM))
}

// end reads the rest of the log and returns how the program ended.
func (p *process) end() error {
	for p.log.Scan() {
		p.t.Log(p.log.Text())
	}
	return p.Wait()
}

// request asks for a slot, as Envoy does, and waits for none.
func (p *process) request(function string) {
	p.t.Helper()
	conn, err := grpc.NewClient("unix:"+filepath.Join(p.dir, "control.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	ctx := metadata.AppendToOutgoingContext(p.t.Context(), "lambda-dispatch-function", function)
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	require.NoError(p.t, err)
	headers := &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{}}
	require.NoError(p.t, stream.Send(&extprocv3.ProcessingRequest{Request: headers}))
}

// A start that nobody waits for is no work.
func TestTheFirstSIGTERMEndsItAtOnceWhereNobodyAsks(t *testing.T) {
	lambda := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer lambda.Close()
	p := start(t, "{aws: {endpoint: '"+lambda.URL+"'}, "+
		"functions: [{name: web, routes: [{path: /web}], scaling: {min: 1, drain_timeout: 1h}}]}")
	p.says("instance starts")
	p.signal()
	require.NoError(t, p.end())
}

func TestSIGTERMEndsItInOrder(t *testing.T) {
	p := start(t, valid)
	p.says("control plane runs")
	require.FileExists(t, filepath.Join(p.dir, "control.sock"))
	p.signal()
	require.NoError(t, p.end())
	require.NoFileExists(t, filepath.Join(p.dir, "control.sock"))
}

func TestSIGHUPReadsTheConfigurationAgain(t *testing.T) {
	p := start(t, valid)
	p.says("control plane runs")
	p.write("{log: {level: debug}, functions: [{name: shop, routes: [{path: /shop}]}], listeners: []}")
	require.NoError(t, p.Process.Signal(syscall.SIGHUP))
	p.says("listeners: must have at least one element")
	p.write("{log: {level: debug}, functions: [{name: shop, routes: [{path: /shop}]}]}")
	p.says("another configuration is in use")
	require.NoError(t, p.Process.Signal(syscall.SIGHUP))
	p.says("the configuration is as the one in use") // at the level debug
	p.signal()
	require.NoError(t, p.end())
}

func TestOldNamesOfVariablesWarn(t *testing.T) {
	t.Setenv("LAMBDA_DISPATCH_LOG_LEVEL", "debug")
	t.Setenv("LAMBDA_DISPATCH_PORT", "tcp://10.96.0.12:7443") // of a Service in Kubernetes
	p := start(t, valid)
	p.says("use LAMBDA_DISPATCH_CONTROL_LOG_LEVEL")
	p.signal()
	require.NoError(t, p.end())
	stdout := new(bytes.Buffer)
	require.NoError(t, run(t.Context(), []string{"check", file(t, valid)}, os.Environ(), stdout, io.Discard))
	require.Contains(t, stdout.String(), "warning: LAMBDA_DISPATCH_LOG_LEVEL is an old name")
	require.Equal(t, 1, strings.Count(stdout.String(), "warning"))
	stderr := new(bytes.Buffer)
	require.Error(t, run(t.Context(), []string{"relay", file(t, valid)}, os.Environ(), io.Discard, stderr), "relay.apart is false")
	require.Contains(t, stderr.String(), "LAMBDA_DISPATCH_LOG_LEVEL is an old name")
}

func TestASecondSIGTERMEndsItAtOnce(t *testing.T) {
	lambda := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // an invocation that takes longer than anybody waits
	}))
	defer lambda.Close()
	p := start(t, "{aws: {endpoint: '"+lambda.URL+"'}, shutdown: {grace: 10m}, functions: [{name: web, routes: [{path: /web}]}]}")
	p.says("control plane runs")
	p.request("web")
	p.says("instance starts")
	p.signal()
	p.says("control plane retires")
	ended := make(chan error, 1)
	go func() { ended <- p.end() }()
	for {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, syscall.SIGTERM, exit.Sys().(syscall.WaitStatus).Signal())
			return
		case <-time.After(10 * time.Millisecond): // one that follows too quickly is still taken for the first
			_ = p.Process.Signal(syscall.SIGTERM)
		}
	}
}
