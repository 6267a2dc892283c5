package controlplane

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/config"
)

func TestFunctionsOfOnePlaceShareItsInstances(t *testing.T) {
	lambda := func(name, region string) config.Function {
		return config.Function{Name: name, Provider: config.ProviderLambda, Lambda: config.Lambda{Region: region}}
	}
	cfg := &Config{
		AWS:      config.AWS{Region: "eu-central-1"},
		Accounts: []config.Account{{Instances: 10}},
		Functions: []config.Function{
			lambda("web", ""), lambda("api", "eu-central-1"), lambda("far", "us-east-1"), {Name: "peers", Provider: config.ProviderStatic},
		},
	}
	shared := newAccounts(cfg).of(cfg)
	require.Len(t, shared, 2)
	require.Same(t, shared["web"], shared["api"])
}
