// Package emulator tells an AWS API on this machine, lambdalocal's say, from AWS: it checks no signature, and real credentials have no
// business there.
package emulator

import (
	"net/netip"
	"net/url"
)

// Region is what such an API is called by where no region is set: the SDK insists on one.
const Region = "us-east-1"

// At tells whether the endpoint with that URL is on this machine.
func At(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
