package config

import (
	"fmt"
	"slices"
)

// A Finding is a fault of several keys together, each of which is valid by itself.
type Finding struct {
	Key     string // a path
	Problem string
	Remedy  string
	Error   bool // true: it cannot work; false: it may not work
}

// String is a line.
func (f Finding) String() string { return f.Key + ": " + f.Problem + "; " + f.Remedy }

// Findings compares what several keys add up to with the limits that are stated or known. Errors come first.
func (c Config) Findings() []Finding {
	out := slices.Concat(c.concurrencyFindings(), c.databaseFindings(), c.descriptorFindings(), c.connectionFindings(),
		c.networkFindings(), c.timeoutFindings(), c.priceFindings())
	slices.SortStableFunc(out, func(a, b Finding) int {
		if a.Error == b.Error {
			return 0
		}
		if a.Error {
			return -1
		}
		return 1
	})
	return out
}

// An invoked is an enabled function with provider lambda, and its path.
type invoked struct {
	Function
	path string
}

func (c Config) invoked() (out []invoked) {
	for i, f := range c.Functions {
		if f.Provider == ProviderLambda && !f.Disabled {
			out = append(out, invoked{f, fmt.Sprintf("functions[%d]", i)})
		}
	}
	return out
}

// surge is the most instances that may run: rotation and rollout may exceed max by a quarter.
func (f invoked) surge() int { return f.Scaling.Max + (f.Scaling.Max+3)/4 }

// environments is the most environments that may exist, frozen ones included.
func (f invoked) environments() int {
	if f.Scaling.MaxEnvironments > 0 {
		return f.Scaling.MaxEnvironments
	}
	return f.surge()
}

const concurrencyKey = "aws.account_concurrency"

// concurrencyFindings compares the instances of our own region and account with its quota.
func (c Config) concurrencyFindings() (out []Finding) {
	quota := c.AWS.AccountConcurrency
	if quota == 0 {
		return nil
	}
	least, most := 0, 0
	for _, f := range c.invoked() {
		if c.PlaceOf(f.Function) != c.place("", "") {
			continue // another region or account, with a quota of its own: accounts[].instances
		}
		least += f.Scaling.Min
		most += f.Scaling.Max
		if f.Scaling.Max > quota {
			out = append(out, Finding{
				f.path + ".scaling.max", fmt.Sprintf("%d instances cannot run: the account has %d concurrent executions", f.Scaling.Max, quota),
				fmt.Sprintf("set it to %d at most, or have the quota raised and state it in %s", quota, concurrencyKey), true,
			})
		}
	}
	if least > quota {
		return append(out, Finding{
			concurrencyKey, fmt.Sprintf("scaling.min of all functions adds up to %d, the account has %d concurrent executions", least, quota),
			"lower scaling.min, or have the quota raised", true,
		})
	}
	for i, a := range c.Accounts {
		if c.PlaceOfAccount(a) != c.place("", "") {
			continue
		}
		most = min(most, a.Instances)
		if a.Instances > quota {
			out = append(out, Finding{
				fmt.Sprintf("accounts[%d].instances", i), fmt.Sprintf("bounds nothing: it allows %d instances, the account has %d concurrent executions", a.Instances, quota),
				fmt.Sprintf("set it to %d at most, or have the quota raised and state it in %s", quota, concurrencyKey), false,
			})
		}
	}
	if most > quota && len(out) == 0 {
		out = append(out, Finding{
			concurrencyKey, fmt.Sprintf("scaling.max of all functions adds up to %d, the account has %d concurrent executions: "+
				"functions whose peaks come together throttle each other, and whatever else the account runs", most, quota),
			"lower scaling.max, give each function reserved concurrency, or have the quota raised", false,
		})
	}
	return out
}

// databaseFindings compares the connections of all environments with what their database allows.
func (c Config) databaseFindings() (out []Finding) {
	total, limit := map[string]int{}, map[string]int{}
	var names []string
	sharers := map[string][]invoked{}
	for _, f := range c.invoked() {
		if d := f.Database; d.MaxConnections > 0 && d.Connections > 0 {
			if sharers[d.Name] == nil {
				names = append(names, d.Name)
			}
			total[d.Name] += f.environments() * d.Connections
			limit[d.Name] = d.MaxConnections
			sharers[d.Name] = append(sharers[d.Name], f)
		}
	}
	for _, name := range names {
		if total[name] > limit[name] {
			out = append(out, tooManyConnections(name, sharers[name], total[name], limit[name]))
		}
	}
	return out
}

// tooManyConnections names the bound with which the connections would suffice.
func tooManyConnections(name string, sharers []invoked, total, limit int) Finding {
	each := 0
	for _, f := range sharers {
		each += f.Database.Connections
	}
	f := sharers[0]
	remedy := fmt.Sprintf("set scaling.max_environments to %d", limit/each)
	if len(sharers) > 1 {
		remedy += fmt.Sprintf(" in each of the %d functions that share it", len(sharers))
	}
	if limit < each {
		remedy = "lower database.connections"
	}
	return Finding{
		f.path + ".database.max_connections",
		fmt.Sprintf("environments of the functions that use %q may hold %d connections, frozen ones included, and it allows %d", name, total, limit),
		remedy + ", or put a pooler before the database", true,
	}
}

// What an environment may hold open: AWS's quota of file descriptors, and what a runtime, lambdapeer and its links take of it.
const (
	descriptors     = 1024
	ownDescriptors  = 64
	perRequestPeer  = 1 // lambdapeer's connection to the app
	perRequestApp   = 2 // the app's side of it, and one to whatever it asks
	perInstanceLink = 3 // connections at the relay: a control stream, a tunnel in use and one in reserve
)

// descriptorFindings counts the file descriptors of one environment. AWS does not say whether its limit is for each process or for all
// together.
func (c Config) descriptorFindings() (out []Finding) {
	for _, f := range c.invoked() {
		slots := f.Scaling.Slots()
		together := slots*(perRequestPeer+perRequestApp) + f.Database.Connections + ownDescriptors
		if together <= descriptors {
			continue
		}
		app := slots*perRequestApp + f.Database.Connections + ownDescriptors
		out = append(out, Finding{
			f.path + ".scaling.concurrency", fmt.Sprintf("%d requests at once may need %d file descriptors in an environment, Lambda allows %d", slots, together, descriptors),
			fmt.Sprintf("set it to %d at most", max(1, (descriptors-ownDescriptors-f.Database.Connections)/(perRequestPeer+perRequestApp))), app > descriptors,
		})
	}
	return out
}

// connectionFindings compares the connections of all instances with what the relay accepts.
func (c Config) connectionFindings() []Finding {
	sum := 0
	for _, f := range c.invoked() {
		sum += f.surge() * perInstanceLink
	}
	if sum <= c.Relay.MaxConnections {
		return nil
	}
	return []Finding{{
		"relay.max_connections", fmt.Sprintf("instances may need %d connections to the relay, it takes %d", sum, c.Relay.MaxConnections),
		"raise it, and the relay's limit of open files with it, or lower scaling.max", false,
	}}
}

// timeoutFindings names limits of requests that are never reached, because the invocation ends before.
func (c Config) timeoutFindings() (out []Finding) {
	for _, f := range c.invoked() {
		if limit := f.Timeouts.Total; limit > f.Lambda.Timeout {
			out = append(out, Finding{
				f.path + ".timeouts.total", fmt.Sprintf("%s is never reached: a request ends with the invocation that serves it, after %s at most", limit, f.Lambda.Timeout),
				"lower it, or raise lambda.timeout if Lambda's is longer", false,
			})
		}
	}
	return out
}

// priceFindings names functions that plain Lambda may serve for less. The start of an instance bills some 20 ms beside its requests, to
// dial and to end, and plain Lambda does not. Requests that share an instance pay for that.
func (c Config) priceFindings() (out []Finding) {
	for _, f := range c.invoked() {
		if f.Scaling.Concurrency == 1 {
			out = append(out, Finding{
				f.path + ".scaling.concurrency", fmt.Sprintf("function %s: with concurrency 1 plain Lambda is cheaper, the more so the shorter and the rarer "+
					"the requests are: a start bills some 20 ms more", f.Name),
				"lambda-dispatch estimate says by how much, and bill.saved_dollars in /api/v1 of what runs", false,
			})
		}
	}
	return out
}
