package xds_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// fields are names and values by turns, in order.
type fields []string

func asked(method, authority, path string, more ...string) fields {
	return append(fields{":method", method, ":scheme", "http", ":authority", authority, ":path", path}, more...)
}

// What HTTP/2 clients send that no library would. RFC 9113, 8.1.1: a malformed request ends its stream.
func TestHTTP2RequestsFieldByField(t *testing.T) {
	f := startAnyHost(t)
	const reset, invalid = "reset", "400 request_invalid"
	for name, c := range map[string]struct {
		fields fields
		want   string
	}{
		"plain":                                {asked("GET", "a", "/"), "200"},
		"host instead":                         {fields{":method", "GET", ":scheme", "http", ":path", "/", "host", "a"}, "200"},
		"another host beside":                  {asked("GET", "a", "/", "host", "b"), "200"},
		"unknown method":                       {asked("BREW", "a", "/"), "200"},
		"OPTIONS *":                            {asked("OPTIONS", "a", "*"), "204"},
		"WebSocket":                            {asked("CONNECT", "a", "/ws", ":protocol", "websocket"), "200"},
		"WebSocket that the app does not take": {asked("CONNECT", "a", "/answers/200", ":protocol", "websocket"), "501 request_unsupported"},
		"a redirect of a WebSocket":            {asked("CONNECT", "a", "/answers/302", ":protocol", "websocket"), "302"},
		"another protocol":                     {asked("CONNECT", "a", "/ws", ":protocol", "foo"), "501 request_unsupported"},
		"CONNECT":                              {fields{":method", "CONNECT", ":authority", "a:80"}, "404 no_route"},
		"two hosts in one":                     {asked("GET", "a,b", "/"), invalid},
		"port that does not exist":             {asked("GET", "a:99999", "/"), invalid},
		"broken escape in the host":            {asked("GET", "a%zz", "/"), invalid},
		"raw UTF-8":                            {asked("GET", "a", "/ü"), invalid},
		"fragment":                             {asked("GET", "a", "/a#b"), invalid},
		"no host":                              {fields{":method", "GET", ":scheme", "http", ":path", "/"}, reset},
		"user information":                     {asked("GET", "u@a", "/"), reset},
		"two authorities":                      {asked("GET", "a", "/", ":authority", "b"), reset},
		"two hosts":                            {fields{":method", "GET", ":scheme", "http", ":path", "/", "host", "a", "host", "b"}, reset},
		"no path":                              {asked("GET", "a", ""), reset},
		"two paths":                            {asked("GET", "a", "/", ":path", "/b"), reset},
		"unknown pseudo-header":                {append(fields{":odd", "1"}, asked("GET", "a", "/")...), reset},
		"pseudo-header after others":           {append(fields{"x-a", "1"}, asked("GET", "a", "/")...), reset},
		"protocol without CONNECT":             {asked("GET", "a", "/", ":protocol", "websocket"), reset},
		"fields of HTTP/1 connections":         {asked("GET", "a", "/", "connection", "close"), reset},
		"transfer coding":                      {asked("GET", "a", "/", "transfer-encoding", "chunked"), reset},
		"capitals":                             {asked("GET", "a", "/", "X-A", "1"), reset},
		"line break":                           {asked("GET", "a", "/", "x-a", "a\r\nb: c"), reset},
		"length without a body":                {asked("GET", "a", "/", "content-length", "2"), reset},
		"two lengths":                          {asked("GET", "a", "/", "content-length", "0", "content-length", "0"), reset},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, f.sendHTTP2(t, c.fields)) })
	}
}

// The same over HTTP/2 as TestLongEveryByteIsServedOrRefused.
func TestLongEveryByteIsServedOrRefusedOverHTTP2(t *testing.T) {
	t.Parallel() // it mostly waits
	f := startAnyHost(t)
	for place, request := range map[string]func(b string) fields{
		"method":    func(b string) fields { return asked("G"+b+"T", "a", "/") },
		"authority": func(b string) fields { return asked("GET", "a"+b+"b", "/") },
		"path":      func(b string) fields { return asked("GET", "a", "/a"+b+"b") },
		"query":     func(b string) fields { return asked("GET", "a", "/a?b"+b+"c") },
		"name":      func(b string) fields { return asked("GET", "a", "/", "x-"+b+"a", "1") },
		"value":     func(b string) fields { return asked("GET", "a", "/", "x-a", "b"+b+"c") },
	} {
		t.Run(place, func(t *testing.T) {
			for b := range 256 {
				outcome := f.sendHTTP2(t, request(string([]byte{byte(b)})))
				require.Contains(t, []string{"200", "400 request_invalid", "reset"}, outcome, "byte %#x", b)
			}
		})
	}
	for _, path := range []string{"/\xff%", "/\xff%zz", "/ü%", "/a?\xff"} {
		require.Equal(t, "400 request_invalid", f.sendHTTP2(t, asked("GET", "a", path)), "%q", path)
	}
}

// sendHTTP2 sends a request without a body, and returns the status, with the cause of an error, or how the stream ended.
func (f *front) sendHTTP2(t *testing.T, request fields) string {
	t.Helper()
	conn, err := net.Dial("tcp", f.address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	require.NoError(t, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(request); i += 2 {
		require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: request[i], Value: request[i+1]}))
	}
	upgrade := request[1] == http.MethodConnect
	require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: !upgrade,
	}))
	return readHTTP2(t, framer)
}

func readHTTP2(t *testing.T, framer *http2.Framer) string {
	t.Helper()
	r := reply{Response: &http.Response{Header: http.Header{}}}
	for {
		frame, err := framer.ReadFrame()
		require.NoError(t, err)
		ended := false
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			r.StatusCode, err = strconv.Atoi(frame.PseudoValue("status"))
			require.NoError(t, err)
			for _, field := range frame.RegularFields() {
				r.Header.Add(field.Name, field.Value)
			}
			ended = frame.StreamEnded() || r.StatusCode == http.StatusOK
		case *http2.DataFrame:
			r.body += string(frame.Data())
			ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			require.Equal(t, http2.ErrCodeProtocol, frame.ErrCode)
			return "reset"
		case *http2.GoAwayFrame:
			require.Equal(t, http2.ErrCodeNo, frame.ErrCode, string(frame.DebugData()))
		}
		if ended {
			return r.outcome(t)
		}
	}
}
