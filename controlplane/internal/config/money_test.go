package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// spending returns a valid configuration whose lambda function has 1,024 MB, which cost $0.06 an hour, and whose other
// function costs nothing.
func spending(t *testing.T, change func(*Config)) Config {
	cfg := valid(t)
	cfg.Functions[0].Lambda.MemoryMB = 1024
	change(&cfg)
	return cfg
}

func TestCeilings(t *testing.T) {
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Functions[0].Scaling.DollarsPerHour, c.Budget.DollarsPerHour = 0.07, 0.07 }, ""},
		{
			func(c *Config) { c.Functions[0].Lambda.MemoryMB, c.Functions[0].Scaling.DollarsPerHour = 0, 1 },
			"functions[0].lambda.memory_mb: must be set, because a ceiling in dollars needs to know what an instance costs",
		},
		{
			func(c *Config) { c.Functions[0].Lambda.MemoryMB, c.Budget.DollarsPerHour = 0, 1 },
			"functions[0].lambda.memory_mb: must be set, because a ceiling in dollars needs to know what an instance costs",
		},
		{
			func(c *Config) { c.Functions[0].Scaling.DollarsPerHour = 0.05 },
			"functions[0].scaling.dollars_per_hour: must be at least 0.0600, what 1 of its instances cost per hour, got 0.05",
		},
		{
			func(c *Config) {
				c.Functions[0].Scaling.DollarsPerHour, c.Functions[0].Lambda.Architecture = 0.05, ArchitectureARM
			},
			"",
		},
		{
			func(c *Config) { c.Functions[0].Scaling.DollarsPerHour, c.Functions[0].Scaling.Min = 0.1, 2 },
			"functions[0].scaling.dollars_per_hour: must be at least 0.1200, what 2 of its instances cost per hour, got 0.1",
		},
		{
			func(c *Config) { c.Budget.DollarsPerHour, c.Functions[0].Scaling.Min = 0.1, 2 },
			"budget.dollars_per_hour: must be at least what the functions' scaling.min cost together, 0.1200, got 0.1",
		},
		{
			func(c *Config) { c.Budget.DollarsPerHour, c.Pricing.GBSecondX86 = 0.1, 0.001 },
			"budget.dollars_per_hour: must be at least 3.6000, what 1 of its instances cost per hour, got 0.1",
		},
		{
			func(c *Config) { c.Functions[1].Scaling.DollarsPerHour = 1 },
			"functions[1].scaling.dollars_per_hour: has no effect, because provider is static",
		},
		{
			func(c *Config) { c.Budget.DollarsPerHour, c.Pricing.PerMillionRequests = -1, -1 },
			"pricing.per_million_requests: must be between 0 and 1e+06, got -1\n" +
				"budget.dollars_per_hour: must be between 0 and 1e+06, got -1",
		},
		{
			func(c *Config) { c.Functions[0].Lambda.MemoryMB, c.Functions[0].Lambda.Architecture = 64, "arm" },
			"functions[0].lambda.memory_mb: must be between 128 and 10240, got 64\n" +
				`functions[0].lambda.architecture: must be one of x86_64, arm64, got "arm"`,
		},
	} {
		err := spending(t, tt.change).Validate()
		if tt.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, tt.want)
	}
}

func TestRatesFollowTheArchitecture(t *testing.T) {
	p := Default().Pricing
	require.InDelta(t, 0.06, p.Rates(ArchitectureX86).PerHour(1024), 1e-6)
	require.InDelta(t, 0.8, p.Rates(ArchitectureARM).PerHour(512)/p.Rates(ArchitectureX86).PerHour(512), 1e-5)
	require.InDelta(t, 0.2e-6, p.Rates(ArchitectureX86).Request, 1e-15)
}
