package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// rawApp answers each request with bytes of the test's choice and keeps the connection, or closes it when there are none.
func rawApp(t *testing.T, answer func(r *http.Request) string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			text := answer(r)
			_, _ = io.WriteString(conn, strings.TrimSuffix(text, "CLOSE"))
			if text == "" || strings.HasSuffix(text, "CLOSE") {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener.Addr().String()
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

// RFC 9110, 9.2.2: nobody knows whether the app has worked on a request whose connection ended.
func TestRequestsReachTheAppOnce(t *testing.T) {
	var asked atomic.Int64
	address := rawApp(t, func(r *http.Request) string {
		if r.URL.Path == "/" {
			return hello
		}
		asked.Add(1)
		return ""
	})
	each(t, func(t *testing.T, http2 bool) {
		client := through(t, address, false).Client(t, http2)
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPost, "BREW"} {
			res, err := client.Get("http://app/") // a connection to be used again
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()

			before := asked.Load()
			req, _ := http.NewRequest(method, "http://app/close", http.NoBody)
			req.Header.Set("Idempotency-Key", "1")
			res, err = client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, http.StatusBadGateway, res.StatusCode)
			if method != http.MethodHead {
				require.Contains(t, string(body), `"cause":"no_answer"`)
			}
			require.Equal(t, before+1, asked.Load(), method)
		}
	})
}

// The same of an app that speaks HTTP/2. What it says not to have seen it gets again.
func TestRequestsReachAnAppOfHTTP2Once(t *testing.T) {
	var asked atomic.Int64
	address := framedApp(t, func(f *http2.Framer, id uint32, path string, header func(fields ...string)) (goOn bool) {
		n := asked.Add(1)
		switch code, isReset := strings.CutPrefix(path, "/reset/"); {
		case isReset:
			number, _ := strconv.Atoi(code)
			_ = f.WriteRSTStream(id, http2.ErrCode(number))
		case path == "/refused" && n == 1:
			_ = f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		case path == "/status":
			header(":status", "1000")
		case path == "/close":
			return false
		case path == "/leaves":
			_ = f.WriteGoAway(id, http2.ErrCodeInternal, nil)
			return false
		default:
			header(":status", "204")
		}
		return true
	})
	each(t, func(t *testing.T, multiplexed bool) {
		client := through(t, address, true).Client(t, multiplexed)
		for path, want := range map[string]struct {
			status, asked int
			cause         string
		}{
			"/": {204, 1, ""}, "/refused": {204, 2, ""}, "/status": {502, 1, "answer_invalid"},
			"/reset/0": {502, 1, "no_answer"}, "/reset/1": {502, 1, "no_answer"}, "/reset/2": {502, 1, "no_answer"},
			"/reset/8": {502, 1, "no_answer"}, "/close": {502, 1, "no_answer"}, "/leaves": {502, 1, "no_answer"},
		} {
			asked.Store(0)
			res, err := client.Get("http://app" + path)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, want.status, res.StatusCode, path)
			require.Contains(t, string(body), want.cause, path)
			require.EqualValues(t, want.asked, asked.Load(), path)
		}
	})
}

// framedApp speaks HTTP/2 by frames. answer says how a request ends, and whether its connection goes on.
func framedApp(t *testing.T, answer func(f *http2.Framer, id uint32, path string, header func(fields ...string)) bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(conn, conn)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.MetaHeadersFrame:
				header := func(fields ...string) {
					var block bytes.Buffer
					_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: fields[0], Value: fields[1]})
					_ = f.WriteHeaders(http2.HeadersFrameParam{
						StreamID: frame.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true,
					})
				}
				if !answer(f, frame.StreamID, frame.PseudoValue("path"), header) {
					return
				}
			}
		}
	}
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go serve(conn)
		}
	}()
	return l.Addr().String()
}

// What follows the head of an answer is the app's to the last byte, however the connection ends.
func TestEndsOfConnectionsAddNothing(t *testing.T) {
	address := rawApp(t, func(r *http.Request) string {
		if r.Header.Get("Upgrade") != "" {
			return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhelloCLOSE"
		}
		_, _ = io.Copy(io.Discard, r.Body)
		return "HTTP/1.1 200 OK\r\n\r\nhelloCLOSE"
	})
	each(t, func(t *testing.T, http2 bool) {
		client := through(t, address, false).Client(t, http2)
		for range 3 {
			res, err := client.Post("http://app/", "", strings.NewReader(strings.Repeat("x", 100_000)))
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			res.Body.Close()
			require.Equal(t, "hello", string(body))
		}
	})
	conn, err := through(t, address, false).Tunnel(t.Context())
	require.NoError(t, err)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	rest, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "hello", string(rest))
	require.NoError(t, conn.Close())
}

func TestOddAnswers(t *testing.T) {
	answers := map[string]string{
		"204-length":  "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"204-chunks":  "HTTP/1.1 204 No Content\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"205":         "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
		"304":         "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
		"lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"both":        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"upgrade-200": "HTTP/1.1 200 OK\r\nConnection: Upgrade, Keep-Alive\r\nUpgrade: h2,h2c\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello",
		"http-1.0":    "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"informed":    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + hello,
		"999":         "HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello",

		"garbage":     "garbage\r\n\r\n",
		"http-0.9":    "hello",
		"no-status":   "HTTP/1.1 \r\n\r\n",
		"099":         "HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\nhello",
		"1000":        "HTTP/1.1 1000 Odd\r\nContent-Length: 5\r\n\r\nhello",
		"two-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"signed":      "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"coding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
		"name":        "HTTP/1.1 200 OK\r\nX(A: 1\r\nContent-Length: 5\r\n\r\nhello",
		"control":     "HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 5\r\n\r\nhello",
		"unasked-101": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nhello",
		"large":       "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 2<<20) + "\r\n\r\n",

		"half-head": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
		"nothing":   "",
	}
	const closing = "\r\nConnection: close\r\nContent-" // else the next request may cross with the end of the connection
	address := rawApp(t, func(r *http.Request) string {
		return strings.ReplaceAll(answers[strings.TrimPrefix(r.URL.Path, "/")], "\r\nContent-", closing) + "CLOSE"
	})
	client := through(t, address, false).Client(t, true)
	outcome := func(name string) string {
		res, err := client.Get("http://app/" + name)
		require.NoError(t, err, name)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusNotModified { // its length is that of another answer, which Go's client does not know
			require.NoError(t, err, name)
		}
		if res.StatusCode == http.StatusBadGateway {
			_, cause, _ := strings.Cut(string(body), `"cause":"`)
			return strings.TrimSuffix(cause, "\"}\n")
		}
		require.Empty(t, res.Header.Get("Connection"), name)
		return strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", res.Header.Get("Content-Length"), " ", string(body)))
	}
	for name, want := range map[string]string{
		"204-length": "204", "204-chunks": "204", "205": "205 0", "304": "304 2",
		"lengths": "200 5 hello", "both": "200  hello", "upgrade-200": "200 5 hello", "http-1.0": "200 5 hello", "informed": "200 5 hello",
		"999": "999 5 hello",

		"garbage": "answer_invalid", "http-0.9": "answer_invalid", "no-status": "answer_invalid", "099": "answer_invalid",
		"1000": "answer_invalid", "two-lengths": "answer_invalid", "signed": "answer_invalid", "coding": "answer_invalid",
		"name": "answer_invalid", "control": "answer_invalid", "unasked-101": "answer_invalid", "large": "answer_invalid",

		"half-head": "no_answer", "nothing": "no_answer",
	} {
		require.Equal(t, want, outcome(name), name)
	}
}

// A client may send Host without a value, and the app must not take another one for it.
func TestEmptyHostIsEmpty(t *testing.T) {
	address := app(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "<%s>", r.Host) })
	for _, h2c := range []bool{false, true} {
		conn, err := through(t, address, h2c).Tunnel(t.Context())
		require.NoError(t, err)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		want := "<>"
		if h2c {
			want = "<localhost>" // HTTP/2 has no empty host
		}
		require.Equal(t, want, string(body))
	}
}

// Over HTTP/2 the app states a length, and net/http waits for the bytes.
func TestAnswersWithoutContentMayStateALength(t *testing.T) {
	address := app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(map[string]int{"/204": 204, "/304": 304}[r.URL.Path])
	})
	client := through(t, address, true).Client(t, false)
	for path, want := range map[string]int{"/204": 204, "/304": 304} {
		res, err := client.Get("http://app" + path)
		require.NoError(t, err)
		_, err = io.ReadAll(res.Body)
		require.NoError(t, err, "not aborted")
		res.Body.Close()
		require.Equal(t, want, res.StatusCode)
	}
}
