package lifecycle

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/internal/trust"
)

// A relay that speaks TLS hangs up on a peer that does not. "EOF" alone would tell nobody why.
func TestAPlainRegistrationThatIsHungUpOnHintsAtTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			_ = conn.Close()
		}
	}()
	variables := map[string]string{RelayVar: "http://" + l.Addr().String(), FunctionVar: "web", TokenVar: "0123456789abcdef"}
	r, err := NewRegistrar(func(name string) string { return variables[name] })
	require.NoError(t, err)
	_, err = r.register(t.Context(), "e1", trust.Policy{}, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "LAMBDA_DISPATCH_PEER_RELAY begins with https")
}

func TestEveryBadVariableIsNamed(t *testing.T) {
	variables := map[string]string{RelayVar: "relay:7443", TokenFileVar: "/does/not/exist", CAFileVar: "/nor/this"}
	_, err := NewRegistrar(func(name string) string { return variables[name] })
	for _, name := range []string{RelayVar, FunctionVar, TokenFileVar, CAFileVar} {
		require.ErrorContains(t, err, name+": ")
	}
}

// A token that is replaced on both sides needs no restart.
func TestATokenFileIsReadAtEachRegistration(t *testing.T) {
	tokens := make(chan string, 1)
	relay := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens <- r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer relay.Close()
	dir := t.TempDir()
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca")
	write := func(file string, text []byte) { require.NoError(t, os.WriteFile(file, text, 0o600)) }
	trusted := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: relay.Certificate().Raw})
	write(token, []byte("the first token"))
	write(ca, trusted)
	variables := map[string]string{RelayVar: relay.URL, FunctionVar: "web", TokenFileVar: token, CAFileVar: ca}
	r, err := NewRegistrar(func(name string) string { return variables[name] })
	require.NoError(t, err)
	var log bytes.Buffer
	registers := func(want string) {
		t.Helper()
		_, err := r.register(t.Context(), "e1", trust.Policy{}, slog.New(slog.NewTextHandler(&log, nil)))
		require.ErrorContains(t, err, "401")
		require.Equal(t, "Bearer "+want, <-tokens)
	}
	registers("the first token")
	registers("the first token")
	require.Empty(t, log.String())
	write(token, []byte("the second token\n"))
	registers("the second token")
	write(token, nil)
	write(ca, []byte("garbage"))
	registers("the second token")
	registers("the second token")
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN"), "each is said once")
	require.Contains(t, log.String(), TokenFileVar+": "+token+" is empty")
	require.Contains(t, log.String(), CAFileVar+": "+ca+" holds no PEM certificate")
	require.NoError(t, os.Remove(ca))
	registers("the second token")
	require.Equal(t, 3, strings.Count(log.String(), "level=WARN"), "another reason is news")
	write(ca, trusted)
	write(token, []byte("the third token"))
	registers("the third token")
	require.Equal(t, 2, strings.Count(log.String(), "is valid again"))
}
