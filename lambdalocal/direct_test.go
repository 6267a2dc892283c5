package lambdalocal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal"
)

// urlLoop is the runtime of a function that answers function URL events: the path says how.
func urlLoop() {
	for {
		response, body := call("GET", "/2018-06-01/runtime/invocation/next", nil, nil)
		base := "/2018-06-01/runtime/invocation/" + response.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var event struct{ RawPath, Body string }
		check(json.Unmarshal(body, &event))
		answer, path := body, base+"/response"
		switch event.RawPath {
		case "/teapot":
			answer = []byte(`{"statusCode":418,"headers":{"X-One":"1","Content-Type":"text/plain"},"multiValueHeaders":{"X-Two":["a","b"]},
				"cookies":["a=1; Path=/","b=2"],"body":"` + base64.StdEncoding.EncodeToString([]byte{0, 255}) + `","isBase64Encoded":true}`)
		case "/error":
			path = base + "/error"
		case "/nonsense":
			answer = []byte("{")
		case "/wrong":
			answer = []byte(`{"statusCode":"ok"}`)
		case "/stream":
			streamSlowly(path)
			continue
		case "/alone":
			record("in " + strconv.Itoa(os.Getpid()))
			time.Sleep(30 * time.Millisecond)
			record("out " + strconv.Itoa(os.Getpid()))
		}
		call("POST", path, nil, answer)
	}
}

// streamSlowly answers with a head, a first part, and when the test lets it a second one.
func streamSlowly(path string) {
	parts, write := io.Pipe()
	go func() {
		_, _ = io.WriteString(write, `{"statusCode":202,"headers":{"X-One":"1"}}`+strings.Repeat("\x00", 8)+"first ")
		for !released() {
			time.Sleep(time.Millisecond)
		}
		_, _ = io.WriteString(write, "second")
		_ = write.Close()
	}()
	request, err := http.NewRequest(http.MethodPost, "http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+path, parts)
	check(err)
	request.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	request.Header.Set("Content-Type", "application/vnd.awslambda.http-integration-response")
	response, err := http.DefaultClient.Do(request)
	check(err)
	_ = response.Body.Close()
}

func direct(t *testing.T, change func(*lambdalocal.Function)) *machine {
	t.Helper()
	return runWith(t, "url", func(c *lambdalocal.Config, f *lambdalocal.Function) {
		c.Direct.Address = "127.0.0.1:0"
		if change != nil {
			change(f)
		}
	})
}

// do sends a request to the direct front end.
func (m *machine) do(method, path string, body []byte, change func(*http.Request)) (*http.Response, []byte) {
	m.t.Helper()
	request, err := http.NewRequest(method, m.DirectURL()+path, bytes.NewReader(body))
	require.NoError(m.t, err)
	if change != nil {
		change(request)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(m.t, err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(m.t, err)
	return response, answer
}

func TestARequestBecomesAFunctionURLEvent(t *testing.T) {
	t.Parallel()
	m := direct(t, nil)
	response, answer := m.do("POST", "/web/a%2Fb/c?x=1&x=2&y=", []byte(`{"hello":1}`), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", "a=1; b=2")
		r.Header.Add("X-Many", "one")
		r.Header.Add("X-Many", "two")
		r.Header.Set("User-Agent", "test")
	})
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "application/json", response.Header.Get("Content-Type"))
	var e struct {
		Version, RouteKey, RawPath, RawQueryString, Body string
		Cookies                                          []string
		Headers, QueryStringParameters                   map[string]string
		IsBase64Encoded                                  bool
		RequestContext                                   struct {
			APIID, Stage, RequestID string
			TimeEpoch               int64
			HTTP                    struct{ Method, Path, Protocol, SourceIP, UserAgent string }
		}
	}
	require.NoError(t, json.Unmarshal(answer, &e), string(answer))
	require.Equal(t, "2.0 $default /a%2Fb/c x=1&x=2&y=", e.Version+" "+e.RouteKey+" "+e.RawPath+" "+e.RawQueryString)
	require.Equal(t, map[string]string{"x": "1,2", "y": ""}, e.QueryStringParameters)
	require.Equal(t, []string{"a=1", "b=2"}, e.Cookies)
	require.Equal(t, "one,two", e.Headers["x-many"])
	require.NotContains(t, e.Headers, "cookie")
	require.Equal(t, "127.0.0.1", e.Headers["x-forwarded-for"])
	require.NotEmpty(t, e.Headers["x-amzn-trace-id"])
	require.Equal(t, `{"hello":1}`, e.Body)
	require.False(t, e.IsBase64Encoded)
	require.Equal(t, "web", e.RequestContext.APIID)
	require.Equal(t, response.Header.Get("X-Amzn-Requestid"), e.RequestContext.RequestID)
	require.Equal(t, "POST /a/b/c HTTP/1.1 127.0.0.1 test", strings.Join([]string{
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.Path, e.RequestContext.HTTP.Protocol,
		e.RequestContext.HTTP.SourceIP, e.RequestContext.HTTP.UserAgent,
	}, " "))

	_, answer = m.do("POST", "/web/", []byte{0, 255}, func(r *http.Request) { r.Header.Set("Content-Type", "image/png") })
	require.NoError(t, json.Unmarshal(answer, &e))
	require.True(t, e.IsBase64Encoded)
	require.Equal(t, "AP8=", e.Body)
}

func TestAnAnswerBecomesAResponse(t *testing.T) {
	t.Parallel()
	m := direct(t, nil)
	response, answer := m.do("GET", "/web/teapot", nil, nil)
	require.Equal(t, http.StatusTeapot, response.StatusCode)
	require.Equal(t, "1", response.Header.Get("X-One"))
	require.Equal(t, "text/plain", response.Header.Get("Content-Type"))
	require.Equal(t, []string{"a", "b"}, response.Header["X-Two"])
	require.Equal(t, []string{"a=1; Path=/", "b=2"}, response.Header["Set-Cookie"])
	require.Equal(t, []byte{0, 255}, answer)

	response, answer = m.do("GET", "/teapot", nil, func(r *http.Request) { r.Host = "web.localhost" })
	require.Equal(t, http.StatusTeapot, response.StatusCode, "by host")
	require.Len(t, answer, 2)
	response, _ = m.do("GET", "/web/teapot", nil, func(r *http.Request) { r.Host = "web:9002" })
	require.Equal(t, http.StatusTeapot, response.StatusCode, "a host that happens to have the function's name")

	response, answer = m.do("HEAD", "/web/teapot", nil, nil)
	require.Equal(t, http.StatusTeapot, response.StatusCode)
	require.EqualValues(t, 2, response.ContentLength)
	require.Empty(t, answer)
}

func TestWhatGoesWrongHasAStatus(t *testing.T) {
	t.Parallel()
	m := direct(t, nil)
	for path, want := range map[string]int{
		"/web/error": 502, "/web/nonsense": 502, "/web/wrong": 502, "/nobody/": 404, "/web:dead/": 404, "/": 404,
	} {
		response, answer := m.do("GET", path, nil, nil)
		require.Equal(t, want, response.StatusCode, path)
		if want == http.StatusBadGateway {
			require.Equal(t, "Internal Server Error", string(answer), "as localstack has seen it of AWS")
			require.Equal(t, "InternalServerErrorException", response.Header.Get("X-Amzn-ErrorType"))
		}
	}
	m.stop() // the log is complete
	require.Contains(t, m.log.String(), `level=warning msg="the function answered with an error" answer="{\"version\":\"2.0\"`)

	m = direct(t, nil)
	response, _ := m.do("POST", "/web/", make([]byte, 6<<20+1), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)

	m.reserve(new(int32(0)))
	response, answer := m.do("GET", "/web/", nil, nil)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	require.Contains(t, string(answer), "ReservedFunctionConcurrentInvocationLimitExceeded")
	require.Equal(t, "1", response.Header.Get("Retry-After"))
}

func TestAFaultStrikesWhicheverWayAnInvocationComes(t *testing.T) {
	t.Parallel()
	m := direct(t, impatient)
	_, err := m.AddFault(lambdalocal.Fault{Kind: lambdalocal.FaultThrottle, Function: "web", Times: 2})
	require.NoError(t, err)
	response, _ := m.do("GET", "/web/", nil, nil)
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	m.send(order{})
	m.eventually("delivered at the second try", func() bool { return m.events().Succeeded == 1 })
	require.Equal(t, []int{2, 1}, []int{m.Counters("web").Faults, m.events().Retried})
}

func TestADirectRequestHasItsEnvironmentAlone(t *testing.T) {
	t.Parallel()
	m := direct(t, nil)
	var all sync.WaitGroup
	const n = 5
	for range n {
		all.Go(func() { m.do("GET", "/web/alone", nil, nil) })
	}
	all.Wait()
	inside := map[string]bool{} // by process
	lines := strings.Split(strings.TrimSpace(m.recorded()), "\n")
	require.Len(t, lines, 2*n)
	for _, line := range lines {
		way, pid, _ := strings.Cut(line, " ")
		require.Equal(t, way == "out", inside[pid], "two at once in %s", pid)
		inside[pid] = way == "in"
	}
	require.Equal(t, len(inside), m.Counters("web").Cold)
}

func TestADirectRequestMayNameAnAlias(t *testing.T) {
	t.Parallel()
	m := direct(t, twoVersions)
	m.do("GET", "/web:next/", nil, nil)
	require.Equal(t, "2", m.Environments()[0].Version)
}

func TestAFunctionURLMayStreamItsAnswer(t *testing.T) {
	t.Parallel()
	m := direct(t, func(f *lambdalocal.Function) { f.InvokeMode = lambdalocal.ResponseStream })
	response, err := http.Get(m.DirectURL() + "/web/stream")
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 202, response.StatusCode)
	require.Equal(t, "1", response.Header.Get("X-One"))
	first := make([]byte, len("first "))
	_, err = io.ReadFull(response.Body, first)
	require.NoError(t, err)
	require.Equal(t, "first ", string(first), "it comes before the second is written")
	m.release()
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "second", string(rest))
	status, _ := m.do(http.MethodGet, "/web/error", nil, nil)
	require.Equal(t, 502, status.StatusCode)
}
