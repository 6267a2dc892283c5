package config

import "fmt"

// Bounds above any price and any ceiling that somebody may mean.
const (
	maxDollars  = 1e6
	maxGBSecond = 1.0
)

func (r Pricing) validate(p *problems) {
	within(p, "pricing.per_million_requests", r.PerMillionRequests, 0, maxDollars)
	within(p, "pricing.gb_second_x86_64", r.GBSecondX86, 0, maxGBSecond)
	within(p, "pricing.gb_second_arm64", r.GBSecondARM, 0, maxGBSecond)
}

// validateCeilings refuses two kinds of ceilings: those that cannot be kept, because the price of an instance is not known, and those that
// are too low for what has to run.
func (c Config) validateCeilings(p *problems) {
	const total = "budget.dollars_per_hour"
	within(p, total, c.Budget.DollarsPerHour, 0, maxDollars)
	minimum := 0.0
	for i, f := range c.Functions {
		path := fmt.Sprintf("functions[%d]", i)
		ceiling := f.Scaling.DollarsPerHour
		within(p, path+".scaling.dollars_per_hour", ceiling, 0, maxDollars)
		if f.Provider != ProviderLambda {
			if ceiling != 0 {
				p.add(path+".scaling.dollars_per_hour", "has no effect, because provider is %s", f.Provider)
			}
			continue
		}
		if f.Lambda.MemoryMB == 0 {
			if ceiling > 0 || c.Budget.DollarsPerHour > 0 {
				p.add(path+".lambda.memory_mb", "must be set, because a ceiling in dollars needs to know what an instance costs")
			}
			continue
		}
		one := c.Pricing.Rates(f.Lambda.Architecture).PerHour(f.Lambda.MemoryMB)
		checkCeiling(p, path+".scaling.dollars_per_hour", ceiling, one, max(1, f.Scaling.Min))
		checkCeiling(p, total, c.Budget.DollarsPerHour, one, 1)
		minimum += one * float64(f.Scaling.Min)
	}
	if c.Budget.DollarsPerHour > 0 && minimum > c.Budget.DollarsPerHour {
		p.add(total, "must be at least what the functions' scaling.min cost together, %.4f, got %v", minimum, c.Budget.DollarsPerHour)
	}
}

// checkCeiling refuses a ceiling below the price of that many instances.
func checkCeiling(p *problems, path string, ceiling, one float64, instances int) {
	if ceiling > 0 && ceiling < one*float64(instances) {
		p.add(path, "must be at least %.4f, what %d of its instances cost per hour, got %v", one*float64(instances), instances, ceiling)
	}
}
