package lab

import "github.com/lambda-dispatch/lambda-dispatch/lambdalocal"

// A Way is how requests reach an app. Each of the three has functions of its own, so that they share no environment.
type Way struct {
	suffix string
	URL    func(function, path string) string
	Entry  func(lambdalocal.Account) lambdalocal.Entry // its part of the ledger
}

const (
	directSuffix  = "-direct"
	managedSuffix = "-managed"
)

// Named is the name of its function.
func (w Way) Named(function string) string { return function + w.suffix }

// OneEach is one request per environment, by lambdalocal's direct front end.
func (s *Stack) OneEach() Way {
	return Way{directSuffix, s.DirectURL, func(a lambdalocal.Account) lambdalocal.Entry { return a.Direct }}
}

// Dispatched is through Envoy and the control plane.
func (s *Stack) Dispatched() Way {
	return Way{"", s.ThroughURL, func(a lambdalocal.Account) lambdalocal.Entry { return a.Invoke }}
}

// OnInstances is Lambda Managed Instances, by the direct front end. Its Entry has the EC2 instances, which cost from the beginning.
func (s *Stack) OnInstances() Way {
	return Way{managedSuffix, s.DirectURL, func(a lambdalocal.Account) lambdalocal.Entry { return a.Total }}
}

// AllWays is a function for each way.
func AllWays(f Function) []Function {
	managed := f
	managed.Name, managed.Managed = f.Name+managedSuffix, true
	return append(BothWays(f), managed)
}

// BothWays is a function for each of the first two.
func BothWays(f Function) []Function {
	direct := f
	direct.Name += directSuffix
	return []Function{f, direct}
}
