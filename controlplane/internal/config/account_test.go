package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAccounts(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/dispatch"
	cfg, err := load(t, `
aws: {region: eu-central-1}
accounts:
- {instances: 900}
- {region: us-east-1, assume_role: `+role+`, instances: 100}
functions:
- {name: here, routes: [{path: /here}]}
- {name: named, routes: [{path: /named}], lambda: {region: eu-central-1}}
- {name: there, routes: [{path: /there}], lambda: {region: us-east-1, assume_role: `+role+`}}
`, nil, nil)
	require.NoError(t, err)
	require.Equal(t, cfg.PlaceOfAccount(cfg.Accounts[0]), cfg.PlaceOf(cfg.Functions[0]))
	require.Equal(t, cfg.PlaceOf(cfg.Functions[0]), cfg.PlaceOf(cfg.Functions[1]), "the region that is the default, by its name")
	require.Equal(t, Place{"us-east-1", role}, cfg.PlaceOf(cfg.Functions[2]))

	cfg.Accounts[0].Instances, cfg.AWS.AccountConcurrency, cfg.Functions[2].Scaling.Max = 200, 200, 900
	require.Empty(t, cfg.concurrencyFindings(), "the third is of another account")

	_, err = load(t, `
accounts:
- {instances: 3}
- {instances: 0}
- {region: Mars, assume_role: dispatch, instances: 1}
functions:
- {name: web, routes: [{path: /}], scaling: {min: 4}, lambda: {assume_role: "arn:aws:iam::1:role/x", region: "eu central"}}
- {name: api, routes: [{path: /api}], scaling: {min: 4}}
`, nil, nil)
	for _, want := range []string{
		"accounts[0].instances: must be at least what the functions' scaling.min are together, 4, got 3",
		"accounts[1].instances: must be between 1 and 1000000, got 0",
		"accounts[1]: is the same region and role as accounts[0]",
		`accounts[2].region: must be a region such as eu-central-1, got "Mars"`,
		`accounts[2].assume_role: must be the ARN of a role`,
		"accounts[2]: no function has this region and role",
		`functions[0].lambda.assume_role: must be the ARN of a role, such as arn:aws:iam::123456789012:role/dispatch, got "arn:aws:iam::1:role/x"`,
		`functions[0].lambda.region: must be a region`,
	} {
		require.ErrorContains(t, err, want)
	}
}
