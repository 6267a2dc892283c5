package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire"
	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer/wire/signature"
)

// Relays are those that may be dialled. The zero value allows all.
type Relays struct {
	allowed     []place             // any of them; none: everywhere
	authorities [][sha256.Size]byte // SHA-256 of the certificates of CAs; none: whatever CA
}

func (r Relays) any() bool { return len(r.allowed) == 0 && len(r.authorities) == 0 }

// check refuses a relay that is not allowed, as far as that can be told without resolving its name.
func (r Relays) check(relay wire.Relay) error {
	host, port, err := net.SplitHostPort(relay.Address)
	if err != nil {
		return err // validated before
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !r.allows(ip, port) {
			return r.refusal(relay.Address)
		}
	} else if len(r.allowed) > 0 && !r.names(host, port) && !r.ranges() {
		return r.refusal(relay.Address)
	}
	return r.checkAuthority(relay)
}

func (r Relays) refusal(address string) error {
	return fmt.Errorf("%s does not allow the relay %.300s", RelaysVar, address)
}

// Control returns a function for net.Dialer that refuses addresses to which the name of a relay leads and which are not
// allowed. It looks at the address that is about to be connected to, so no later answer of the name's server gets around it.
// Nil: nothing need be looked at.
func (r Relays) Control(address string) func(network, address string, c syscall.RawConn) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || len(r.allowed) == 0 || r.names(host, port) {
		return nil
	}
	return func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err == nil && r.allows(to.Addr(), port) {
			return nil
		}
		return fmt.Errorf("%s does not allow %s, to which %.300s leads", RelaysVar, address, host)
	}
}

// names tells whether a host's name is allowed, wherever it leads.
func (r Relays) names(host, port string) bool {
	return slices.ContainsFunc(r.allowed, func(p place) bool { return p.hasName(host) && p.hasPort(port) })
}

// ranges tells whether any address may be allowed that a name leads to.
func (r Relays) ranges() bool {
	return slices.ContainsFunc(r.allowed, func(p place) bool { return p.name == "" })
}

func (r Relays) allows(ip netip.Addr, port string) bool {
	if len(r.allowed) == 0 {
		return true
	}
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(r.allowed, func(p place) bool {
		return p.name == "" && p.prefix.Contains(ip) && p.hasPort(port)
	})
}

// checkAuthority makes sure that nobody but an allowed CA can vouch for the relay.
func (r Relays) checkAuthority(relay wire.Relay) error {
	if len(r.authorities) == 0 {
		return nil
	}
	if !relay.TLS || relay.CA == "" {
		return fmt.Errorf("%s is set, and the relay %.300s comes without TLS or without a CA", RelayCAVar, relay.Address)
	}
	for rest := []byte(relay.CA); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if !slices.Contains(r.authorities, sha256.Sum256(block.Bytes)) {
			return fmt.Errorf("%s does not have the CA of the relay %.300s: %s", RelayCAVar, relay.Address, describe(block))
		}
	}
}

// describe names a CA for the operator who has to decide about it.
func describe(block *pem.Block) string {
	sum := sha256.Sum256(block.Bytes)
	text := hex.EncodeToString(sum[:])
	if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
		text += fmt.Sprintf(" (%.200q)", cert.Subject.String())
	}
	return text
}

// A place is where relays may be: a host's name, or a range of addresses.
type place struct {
	name   string // lower case; *.example.com stands for one label before example.com; empty: prefix
	prefix netip.Prefix
	port   string // empty: any
}

// hasName takes a name as DNS does: in any case, with or without a final dot.
func (p place) hasName(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if parent, wild := strings.CutPrefix(p.name, "*."); wild {
		label, rest, _ := strings.Cut(host, ".")
		return label != "" && rest == parent
	}
	return p.name != "" && host == p.name
}

func (p place) hasPort(port string) bool { return p.port == "" || p.port == port }

// parsePlaces reads a list of host, *.host, address or CIDR; all but a CIDR may have a port.
func parsePlaces(list string) ([]place, error) {
	var places []place
	for _, word := range signature.Words(list) {
		p, ok := parsePlace(word)
		if !ok {
			return nil, fmt.Errorf("%s: %q is neither a host name, such as relay.example.com or *.example.com, nor an address or CIDR, such as 10.0.0.0/16",
				RelaysVar, word)
		}
		places = append(places, p)
	}
	return places, nil
}

func parsePlace(word string) (place, bool) {
	if prefix, err := netip.ParsePrefix(word); err == nil {
		return place{prefix: prefix.Masked()}, prefix.Addr().Unmap() == prefix.Addr()
	}
	host, port := word, ""
	if h, p, err := net.SplitHostPort(word); err == nil {
		host, port = h, p
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return place{}, false
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return place{prefix: netip.PrefixFrom(ip, ip.BitLen()), port: port}, ip.Zone() == ""
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	return place{name: name, port: port}, hostName(strings.TrimPrefix(name, "*."))
}

func hostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.ContainsFunc(label, func(c rune) bool {
			return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z')
		}) {
			return false
		}
	}
	return true
}

// parseHashes reads SHA-256 hashes in hexadecimal, with or without colons, as openssl prints fingerprints.
func parseHashes(list string) ([][sha256.Size]byte, error) {
	var hashes [][sha256.Size]byte
	for _, word := range signature.Words(list) {
		raw, err := hex.DecodeString(strings.ReplaceAll(word, ":", ""))
		if err != nil || len(raw) != sha256.Size {
			return nil, fmt.Errorf("%s: %q is not the SHA-256 of a certificate in hexadecimal, as `openssl x509 -fingerprint -sha256` prints it", RelayCAVar, word)
		}
		hashes = append(hashes, [sha256.Size]byte(raw))
	}
	return hashes, nil
}
