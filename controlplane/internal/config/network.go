package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// networkFindings names the functions that cannot dial the relay. It judges names by their endings and resolves none.
func (c Config) networkFindings() (out []Finding) {
	if !c.AWS.real() {
		return nil
	}
	key, host, where := c.dialled()
	for _, f := range c.invoked() {
		if finding, bad := unreachable(where, f, host); bad {
			finding.Key = key
			out = append(out, finding)
		}
		if f.Lambda.Network == NetworkPublic && c.Relay.TLS == RelayTLSOff {
			out = append(out, Finding{
				"relay.tls", fmt.Sprintf("function %s is outside of a VPC: its token and its requests pass networks of others unencrypted", f.Name),
				"set it to auto or files", true,
			})
		}
	}
	return out
}

// dialled returns what functions are told to dial: the key that says it, the host, and its place. The place is unknown if the relay is on
// another host, because it has a file of its own.
func (c Config) dialled() (key, host string, where place) {
	advertise := c.Relay.Advertise
	switch advertise {
	case AdvertiseAuto:
		return "relay.advertise", advertise, private
	case AdvertisePublic:
		return "relay.advertise", advertise, anywhere
	case AdvertiseIPv6:
		return "relay.advertise", advertise, unknown
	case "":
		if elsewhere := c.Relay.Apart && (c.Cell.Address != "" || len(c.Cell.ControlPlanes) > 0); elsewhere {
			return "", "", unknown
		}
	}
	key = "relay.advertise"
	if advertise == "" {
		key, advertise = "relay.address", c.Relay.Address
	}
	host, _, err := net.SplitHostPort(advertise)
	if err != nil { // reported by Validate
		return key, advertise, unknown
	}
	return key, host, placeOf(host)
}

// real tells whether functions run on AWS, and not on this machine.
func (a AWS) real() bool {
	endpoint, err := url.Parse(a.Endpoint)
	return a.Endpoint == "" || err == nil && strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com")
}

// A place says from where an address can be reached.
type place int

const (
	anywhere place = iota // a public IPv4 address
	unknown               // a name, or a global IPv6 address, for which no NAT is needed
	private               // an address or a name of a private network
	itself                // the machine alone, or its link
)

func placeOf(host string) place {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return placeOfName(strings.ToLower(strings.TrimSuffix(host, ".")))
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback(), ip.IsLinkLocalUnicast(), ip.IsUnspecified():
		return itself
	case ip.IsPrivate(), sharedAddresses.Contains(ip):
		return private
	case ip.Is6():
		return unknown
	}
	return anywhere
}

// sharedAddresses are used inside of carriers' networks and of some VPCs (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

func placeOfName(name string) place {
	switch {
	case name == "localhost", strings.HasSuffix(name, ".localhost"):
		return itself
	case !strings.Contains(name, "."):
		return private
	}
	for _, ending := range []string{".internal", ".local", ".lan", ".home.arpa"} {
		if strings.HasSuffix(name, ending) {
			return private
		}
	}
	return unknown
}

// unreachable tells whether a function cannot dial that host, or pays for each byte. The caller fills in the finding's key.
func unreachable(where place, f invoked, host string) (Finding, bool) {
	switch {
	case where == itself:
		return Finding{
			"", fmt.Sprintf("function %s would dial %s, which is its own environment", f.Name, host),
			"advertise an address of the relay's task or host that the function reaches", true,
		}, true
	case where == private && f.Lambda.Network == NetworkPublic:
		return Finding{
			"", fmt.Sprintf("function %s is outside of a VPC and cannot dial %s, which is private", f.Name, host),
			"advertise a public address, or put the function into the VPC and set its lambda.network to vpc", true,
		}, true
	case where == anywhere && f.Lambda.Network == NetworkVPC:
		return Finding{
			"", fmt.Sprintf("function %s is in a VPC and dials %s, which is public: it needs a NAT gateway, which charges each byte", f.Name, host),
			"advertise the relay's private address", false,
		}, true
	}
	return Finding{}, false
}
