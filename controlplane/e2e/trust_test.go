package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/controlplanetest"
	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
)

// invokeDirectly is what anybody with a right to invoke can do. It returns the answer, and whether it is a function error.
func invokeDirectly(t *testing.T, s *controlplanetest.Stack, function string, payload any) (answer string, failed bool) {
	t.Helper()
	body, err := json.Marshal(payload)
	require.NoError(t, err)
	res, err := http.Post(s.Lambda.InvokeURL()+"/2015-03-31/functions/"+function+"/invocations", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text), res.Header.Get("X-Amz-Function-Error") != ""
}

// A function with the control plane's public key serves it and nobody else, whichever peer is inside. With another key it
// says why it serves nobody.
func TestOnlyTheControlPlaneCommandsPeers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "signing.key")
	public, err := controlplane.NewSigningKey(file)
	require.NoError(t, err)
	other, err := controlplane.NewSigningKey(file + ".other")
	require.NoError(t, err)
	o := controlplanetest.Options{Config: func(c *config.Config) { c.Signing.KeyFile = file }}
	for _, peer := range controlplanetest.Peers {
		f := siteApp(t, string(peer), peer)
		f.Local.Env["LAMBDA_DISPATCH_PEER_PUBLIC_KEY"] = other + "," + public // as while a key is rotated
		o.Functions = append(o.Functions, f)
	}
	stranger := siteApp(t, "stranger", controlplanetest.Library)
	stranger.Scaling.Min = 0
	stranger.Local.Env["LAMBDA_DISPATCH_PEER_PUBLIC_KEY"] = other
	o.Functions = append(o.Functions, stranger)
	stack := controlplanetest.Start(t, o)

	for _, peer := range controlplanetest.Peers {
		t.Run(string(peer), func(t *testing.T) {
			s := newSite(t, stack, string(peer), controlplanetest.HTTP1)
			require.NotEmpty(t, s.process(), "it serves")
			require.Contains(t, s.Instances(s.name)[0].Features, string(wire.FeatureSignedOnly))

			evil, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer evil.Close()
			dialled := make(chan struct{})
			go func() {
				if conn, err := evil.Accept(); err == nil {
					close(dialled)
					_ = conn.Close()
				}
			}()
			answer, failed := invokeDirectly(t, stack, s.name, wire.Invocation{
				Version: wire.Version, Instance: "x", Function: s.name, Token: "t", Concurrency: 1,
				Relays: []wire.Relay{{Address: evil.Addr().String()}},
			})
			require.True(t, failed, answer)
			require.Contains(t, answer, "LambdaDispatch.Untrusted")
			select {
			case <-dialled:
				require.Fail(t, "somebody else's relay was dialled")
			default:
			}
		})
	}

	t.Run("another key", func(t *testing.T) {
		s := newSite(t, stack, "stranger", controlplanetest.HTTP1)
		a := s.ask(s.request(http.MethodGet, "/hello", nil)).wait(s)
		require.Equal(t, http.StatusBadGateway, a.StatusCode)
		require.Contains(t, string(a.body), `"cause":"untrusted"`)
		require.Contains(t, s.Function("stranger").BlockedDetail, "none of the accepted keys")
	})
}
