package guard

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// status is that of a request with headers, name and value in turn.
func status(h http.Handler, method, host string, headers ...string) int {
	r := httptest.NewRequest(method, "/", nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

var served = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })

func TestOnlyKnownNamesAreServed(t *testing.T) {
	h := New([]string{"lambda.example", "*.dev.example"}, served)
	for _, host := range []string{
		"127.0.0.1:9001", "[::1]:9001", "10.0.0.7", "localhost:9001", "LOCALHOST", "", "lambda.example:9001", "Lambda.Example", "a.dev.example", "a.b.dev.example",
	} {
		require.Equal(t, http.StatusNoContent, status(h, "GET", host), host)
		require.Equal(t, http.StatusNoContent, status(h, "POST", host), host)
	}
	for _, host := range []string{"page.example", "page.example:9001", "localhost.page.example", "127.0.0.1.page.example", "dev.example", ".dev.example", "xdev.example"} {
		require.Equal(t, http.StatusForbidden, status(h, "GET", host), host)
		require.Equal(t, http.StatusForbidden, status(h, "POST", host, "Origin", "http://"+host, "Sec-Fetch-Site", "same-origin"), host)
	}
}

func TestPagesOfOtherOriginsChangeNothing(t *testing.T) {
	h := New(nil, served)
	for _, headers := range [][]string{{"Origin", "http://page.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}} {
		require.Equal(t, http.StatusForbidden, status(h, "POST", "127.0.0.1:9001", headers...), headers)
		require.Equal(t, http.StatusForbidden, status(h, "DELETE", "127.0.0.1:9001", headers...), headers)
		require.Equal(t, http.StatusNoContent, status(h, "GET", "127.0.0.1:9001", headers...), "a link from there")
	}
	require.Equal(t, http.StatusNoContent, status(h, "POST", "127.0.0.1:9001", "Origin", "http://127.0.0.1:9001"))
}

func TestNoBrowserReachesAnAPIOfProcesses(t *testing.T) {
	h := Processes(served)
	require.Equal(t, http.StatusNoContent, status(h, "GET", "127.0.0.1:1"))
	require.Equal(t, http.StatusNoContent, status(h, "POST", "sandbox.localdomain:1"))
	for _, headers := range [][]string{{"Origin", "http://127.0.0.1:1"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "none"}} {
		require.Equal(t, http.StatusForbidden, status(h, "GET", "127.0.0.1:1", headers...))
	}
	require.Equal(t, http.StatusForbidden, status(h, "GET", "page.example:1"))
}
