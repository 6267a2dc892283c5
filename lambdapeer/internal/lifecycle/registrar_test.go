package lifecycle

import (
	"net"
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
	_, err = r.register(t.Context(), "e1", trust.Policy{})
	require.ErrorContains(t, err, "LAMBDA_DISPATCH_PEER_RELAY begins with https")
}

func TestEveryBadVariableIsNamed(t *testing.T) {
	variables := map[string]string{RelayVar: "relay:7443", TokenFileVar: "/does/not/exist", CAFileVar: "/nor/this"}
	_, err := NewRegistrar(func(name string) string { return variables[name] })
	for _, name := range []string{RelayVar, FunctionVar, TokenFileVar, CAFileVar} {
		require.ErrorContains(t, err, name+": ")
	}
}
