package config

import (
	"fmt"
	"regexp"
)

var rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$`)

func checkRole(p *problems, path, role string) {
	if role != "" && !rolePattern.MatchString(role) {
		p.add(path, "must be the ARN of a role, such as arn:aws:iam::123456789012:role/dispatch, got %q", role)
	}
}

// validateAccounts refuses a bound that no function has, and one below what the functions keep ready.
func (c Config) validateAccounts(p *problems) {
	seen := map[Place]int{}
	for i, a := range c.Accounts {
		path := fmt.Sprintf("accounts[%d]", i)
		if !regionPattern.MatchString(a.Region) {
			p.add(path+".region", "must be a region such as eu-central-1, got %q", a.Region)
		}
		checkRole(p, path+".assume_role", a.AssumeRole)
		within(p, path+".instances", a.Instances, 1, 1_000_000)
		place := c.PlaceOfAccount(a)
		if first, twice := seen[place]; twice {
			p.add(path, "is the same region and role as accounts[%d]", first)
			continue
		}
		seen[place] = i
		c.validateAccount(p, path, place, a.Instances)
	}
}

func (c Config) validateAccount(p *problems, path string, place Place, instances int) {
	functions, least := 0, 0
	for _, f := range c.Functions {
		if f.Provider == ProviderLambda && c.PlaceOf(f) == place {
			functions, least = functions+1, least+f.Scaling.Min
		}
	}
	if functions == 0 {
		p.add(path, "no function has this region and role")
	} else if instances < least {
		p.add(path+".instances", "must be at least what the functions' scaling.min are together, %d, got %d", least, instances)
	}
}
