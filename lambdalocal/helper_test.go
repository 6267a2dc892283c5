package lambdalocal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// marker is set in every helper process: it makes the test binary one, and finds those left behind.
const marker = "LAMBDALOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(marker) != "" && len(os.Args) > 1 {
		helpers[os.Args[1]]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// helpers are the programs that functions in tests run.
var helpers = map[string]func(){
	"runtime":   runtimeLoop,
	"app":       sleepUntilTerminated,
	"stubborn":  func() { signal.Ignore(syscall.SIGTERM); runtimeLoop() },
	"polite":    politeRuntime,
	"extension": func() { extensionLoop("INVOKE", "SHUTDOWN") },
	"busy":      busyExtension,
	"slow":      slowExtension,
	"variables": func() { record(string(environ())); extensionLoop("INVOKE", "SHUTDOWN") },
	"watcher":   func() { extensionLoopAs("watcher", "INVOKE", "SHUTDOWN") },
	"peer":      peer,
	"late":      lateRuntime,
	"telemetry": telemetryExtension,
	"failing":   failingInit,
	"exiting":   func() { os.Exit(3) },
	"silent":    func() { select {} },
	"plain":     sleepUntilTerminated,
	"server":    server,
	"url":       urlLoop,
	"workers":   workers,
}

func call(method, path string, header http.Header, body []byte) (*http.Response, []byte) {
	url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + path
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	check(err)
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	check(err)
	return response, answer
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(99)
	}
}

// An order is the payload of an invocation in tests.
type order struct {
	Do   string `json:"do"`
	Text string `json:"text,omitempty"`
	Ms   int    `json:"ms,omitempty"`
}

func runtimeLoop() {
	for {
		response, body := call("GET", "/2018-06-01/runtime/invocation/next", nil, nil)
		var o order
		check(json.Unmarshal(body, &o))
		obey(o, response.Header, body)
	}
}

// workers is a runtime with as many workers as Lambda asks for.
func workers() {
	n, err := strconv.Atoi(os.Getenv("AWS_LAMBDA_MAX_CONCURRENCY"))
	check(err)
	for range n {
		go runtimeLoop()
	}
	select {}
}

func obey(o order, h http.Header, body []byte) {
	base := "/2018-06-01/runtime/invocation/" + h.Get("Lambda-Runtime-Aws-Request-Id")
	answer, path := body, base+"/response"
	switch o.Do {
	case "print":
		fmt.Println(o.Text)
	case "print, meet and be heard":
		fmt.Println(o.Text)
		record("here")
		for strings.Count(recorded(), "here\n") < 2 || !strings.Contains(recorded(), "heard "+o.Text+"\n") {
			time.Sleep(time.Millisecond)
		}
	case "meet": // as many others
		record("here")
		for strings.Count(recorded(), "here\n") < o.Ms {
			time.Sleep(time.Millisecond)
		}
	case "shell":
		answer = []byte(strconv.Quote(shell(o.Text)))
	case "get":
		answer = []byte(strconv.Quote(fetched(o.Text)))
	case "ping as":
		answer = []byte(strconv.Quote(pinged(o.Text)))
	case "sleep":
		time.Sleep(time.Duration(o.Ms) * time.Millisecond)
	case "exit":
		os.Exit(o.Ms)
	case "drain":
		sleepUntilTerminated()
	case "hang":
		select {}
	case "linger":
		call("POST", path, nil, answer)
		for !released() {
			time.Sleep(time.Millisecond)
		}
		return
	case "error":
		answer, path = []byte(`{"errorType":"MyError","errorMessage":"`+o.Text+`"}`), base+"/error"
	case "fail":
		record(h.Get("Lambda-Runtime-Aws-Request-Id"))
		answer, path = []byte(`{"errorType":"MyError","errorMessage":""}`), base+"/error"
	case "repeat":
		answer, _ = json.Marshal(strings.Repeat("x", o.Ms))
	case "large":
		answer = bytes.Repeat([]byte("x"), 7<<20)
	case "environ":
		answer = environ()
	case "headers":
		answer, _ = json.Marshal(h)
	case "record headers":
		text, err := json.Marshal(h)
		check(err)
		record(string(text))
	case "dial":
		answer = []byte(strconv.Quote(dial(o.Text)))
	case "spawn":
		check(exec.Command("sleep", "1000").Start())
	}
	call("POST", path, nil, answer)
}

// dial connects, repeats what it is sent, and returns how the connection ended.
func dial(address string) string {
	conn, err := net.Dial("tcp", address)
	check(err)
	_, err = io.Copy(conn, conn)
	return fmt.Sprint(err)
}

func environ() []byte {
	vars := map[string]string{}
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	vars["pid"] = strconv.Itoa(os.Getpid())
	answer, _ := json.Marshal(vars)
	return answer
}

func sleepUntilTerminated() {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	record("up")
	<-terminated
	record("SIGTERM")
}

// telemetryExtension listens where AWS tells extensions to, on a fixed port, and records the function's output.
func telemetryExtension() {
	listener, err := net.Listen("tcp", "sandbox.localdomain:4323")
	check(err)
	id := register("INVOKE", "SHUTDOWN")
	go func() {
		check(http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var events []struct{ Record any }
			check(json.NewDecoder(r.Body).Decode(&events))
			for _, e := range events {
				record(fmt.Sprint("heard ", e.Record))
			}
		})))
	}()
	body := []byte(`{"schemaVersion":"2022-12-13","types":["function"],"buffering":{"timeoutMs":25},
		"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:4323"}}`)
	if response, answer := call("PUT", "/2022-07-01/telemetry", id, body); response.StatusCode != http.StatusOK {
		check(fmt.Errorf("telemetry: %s", answer))
	}
	followEvents(id)
}

func recorded() string {
	text, _ := os.ReadFile(os.Getenv("RECORD"))
	return string(text)
}

// shell runs a script in the environment.
func shell(script string) string {
	out, _ := exec.Command("sh", "-c", script).CombinedOutput()
	return string(out)
}

// pinged is what the Runtime API answers to a caller who takes it for another host.
func pinged(host string) string {
	request, err := http.NewRequest(http.MethodGet, "http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/ping", nil)
	check(err)
	request.Host = host
	request.Header.Set("Origin", "http://"+host)
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer func() { _ = response.Body.Close() }()
	return response.Status
}

func fetched(url string) string {
	response, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text := make([]byte, 100)
	n, _ := response.Body.Read(text)
	return string(text[:n])
}

// record appends a line to the file that the test reads.
func record(line string) {
	if path := os.Getenv("RECORD"); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		check(err)
		_, err = fmt.Fprintln(f, line)
		check(err)
		check(f.Close())
	}
}

func register(events ...string) http.Header {
	return registerAs(os.Args[0][strings.LastIndex(os.Args[0], "/")+1:], events...)
}

func registerAs(name string, events ...string) http.Header {
	body, _ := json.Marshal(map[string]any{"events": events})
	response, answer := call("POST", "/2020-01-01/extension/register", http.Header{"Lambda-Extension-Name": {name}}, body)
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("register: %s", answer))
	}
	return http.Header{"Lambda-Extension-Identifier": response.Header["Lambda-Extension-Identifier"]}
}

// politeRuntime is told of the end: Lambda sends SIGTERM only where there are extensions, a part of the runtime will do.
func politeRuntime() {
	id := register()
	go call("GET", "/2020-01-01/extension/event/next", id, nil)
	runtimeLoop()
}

func extensionLoop(events ...string) { followEvents(register(events...)) }

func extensionLoopAs(name string, events ...string) { followEvents(registerAs(name, events...)) }

// slowExtension registers when the test lets it.
func slowExtension() {
	record("slow")
	for !released() {
		time.Sleep(time.Millisecond)
	}
	extensionLoop("INVOKE", "SHUTDOWN")
}

func followEvents(id http.Header) {
	for {
		_, body := call("GET", "/2020-01-01/extension/event/next", id, nil)
		var event struct{ EventType, ShutdownReason, RequestID string }
		check(json.Unmarshal(body, &event))
		record(strings.TrimSpace(event.EventType + " " + event.ShutdownReason))
		if event.EventType == "SHUTDOWN" {
			return
		}
	}
}

// busyExtension works after each INVOKE until the test lets it go on.
func busyExtension() {
	id := register("INVOKE", "SHUTDOWN")
	for {
		_, body := call("GET", "/2020-01-01/extension/event/next", id, nil)
		if bytes.Contains(body, []byte("SHUTDOWN")) {
			return
		}
		for !released() {
			time.Sleep(time.Millisecond)
		}
	}
}

// released tells whether the test has written the file that lets processes go on.
func released() bool {
	_, err := os.Stat(os.Getenv("RECORD") + ".release")
	return err == nil
}

// peer is an extension that calls the Runtime API for an app that knows nothing of Lambda.
func peer() {
	go func() {
		for !appIsUp() {
			time.Sleep(time.Millisecond)
		}
		runtimeLoop()
	}()
	extensionLoop("SHUTDOWN")
}

func appIsUp() bool {
	text, err := os.ReadFile(os.Getenv("RECORD"))
	return os.Getenv("RECORD") == "" || err == nil && strings.Contains(string(text), "up\n")
}

// lateRuntime is too slow for the first init, and fast in every other.
func lateRuntime() {
	if first() {
		select {}
	}
	runtimeLoop()
}

// failingInit reports a failed init once, then works.
func failingInit() {
	if first() || os.Getenv("ALWAYS") != "" {
		call("POST", "/2018-06-01/runtime/init/error", http.Header{"Lambda-Runtime-Function-Error-Type": {"Runtime.NoHandler"}},
			[]byte(`{"errorType":"Runtime.NoHandler","errorMessage":"no handler"}`))
		os.Exit(1)
	}
	runtimeLoop()
}

func first() bool {
	_, err := os.Stat(os.Getenv("RECORD"))
	record("init")
	return err != nil
}

// server is a whole lambdalocal in a process of its own, to be killed. It prints its address.
func server() {
	cfg := lambdalocal.Default()
	cfg.Address = "127.0.0.1:0"
	f := lambdalocal.DefaultFunction("web")
	f.Command, f.Extensions = []string{os.Args[0], "app"}, []lambdalocal.Extension{lambdalocal.Program(os.Args[0], "peer")}
	f.Env = map[string]string{marker: os.Getenv("CHILD_MARKER")}
	cfg.Functions = []lambdalocal.Function{f}
	s, err := lambdalocal.New(cfg, quiet())
	check(err)
	fmt.Println(s.Addr())
	check(s.Run(context.Background()))
}
