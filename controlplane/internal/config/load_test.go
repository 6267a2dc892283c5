package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/signing"
)

// A Fargate task mounts no file: all that it has are variables.
func TestTheConfigurationAndItsKeyMayBeVariables(t *testing.T) {
	t.Setenv("DISPATCH_KEY", string(signing.New().PEM()))
	t.Setenv("DISPATCH", "{signing: {key_file: 'env:DISPATCH_KEY'}, relay: {address: '0.0.0.0:7443', advertise: auto}, functions: [{name: web, routes: [{path: /}]}]}")
	cfg, err := Load("env:DISPATCH", nil, nil)
	require.NoError(t, err)
	require.Equal(t, "web", cfg.Functions[0].Name)
	require.Equal(t, AdvertiseAuto, cfg.Relay.Advertise)

	t.Setenv("DISPATCH_KEY", "no key")
	_, err = Load("env:DISPATCH", nil, []string{"relay.address=0.0.0.0:0"})
	require.ErrorContains(t, err, "signing.key_file: env:DISPATCH_KEY holds no PEM block")
	require.ErrorContains(t, err, `relay.advertise: auto needs a port in relay.address, got "0.0.0.0:0"`)
	_, err = Load("env:OTHER_DISPATCH", nil, nil)
	require.ErrorContains(t, err, "read configuration: env:OTHER_DISPATCH: the variable is not set")
}
