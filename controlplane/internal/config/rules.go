package config

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/source"
)

func oneOf(p *problems, path, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		p.add(path, "must be one of %s, got %q", strings.Join(allowed, ", "), got)
	}
}

func within[T cmp.Ordered](p *problems, path string, got, low, high T) {
	if got < low || got > high {
		p.add(path, "must be between %v and %v, got %v", low, high, got)
	}
}

func positive(p *problems, path string, got, high time.Duration) {
	if got <= 0 {
		p.add(path, "must be positive, got %s", got)
	} else if got > high {
		p.add(path, "must be at most %s, got %s", high, got)
	}
}

func unused(p *problems, path, got, because string) {
	if got != "" {
		p.add(path, "has no effect, because %s", because)
	}
}

func checkName(p *problems, path, name string) {
	if !IsName(name) {
		p.add(path, "must be 1 to %d lower-case letters, digits and inner hyphens, got %q", MaxNameLength, name)
	}
}

// checkUnique refuses a name that an earlier element has; seen maps the names before it to their paths.
func checkUnique(p *problems, path, name string, seen map[string]string) {
	if first, twice := seen[name]; twice && name != "" {
		p.add(path, "%q is also %s", name, first)
		return
	}
	seen[name] = path
}

// checkAddress accepts host:port with a numeric port; port 0 lets the system choose.
func checkAddress(p *problems, path, address string) {
	if !IsAddress(address) {
		p.add(path, "must be host:port, got %q", address)
	}
}

// IsAddress tells whether a text is a host and the number of a port.
func IsAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err == nil
}

// checkListenAddress accepts ip:port, because Envoy resolves no name for a listener.
func checkListenAddress(p *problems, path, address string) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		p.add(path, "must be ip:port, such as 127.0.0.1:8080 or 0.0.0.0:8080 for every interface, got %q", address)
	}
}

// everyInterface tells whether the address stands for all of a machine's addresses, so that nobody can dial it.
func everyInterface(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, ipErr := netip.ParseAddr(host)
	return err == nil && (host == "" || ipErr == nil && ip.IsUnspecified())
}

// overlap tells whether one of two addresses is a port of every interface, and the other the same port of one of them. What is
// opened for IPv6 alone, as Envoy does, leaves the port of IPv4 free.
func overlap(a, b string) bool {
	_, portA, errA := net.SplitHostPort(a)
	_, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" || !everyInterface(a) && !everyInterface(b) {
		return false
	}
	ipA, errA := netip.ParseAddrPort(a)
	ipB, errB := netip.ParseAddrPort(b)
	return errA != nil || errB != nil || ipA.Addr().Is4() == ipB.Addr().Is4()
}

// beyondLoopback tells whether other machines may reach an address. They may if its host is a name other than localhost. They may not if
// the text is no address, which is reported elsewhere.
func beyondLoopback(address string) bool {
	var p problems
	if checkAddress(&p, "", address); p.err() != nil {
		return false
	}
	host, _, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.Unmap().IsLoopback()
	}
	return host != "localhost"
}

func checkFile(p *problems, path, file string) {
	if file == "" {
		p.add(path, "must be set")
	} else if _, ok := source.Variable(file); ok {
		return
	} else if info, err := os.Stat(file); err != nil {
		p.add(path, "%w", err)
	} else if !info.Mode().IsRegular() {
		p.add(path, "must be a file: %s", file)
	}
}

// checkContents reads the files and parses them. It reports a mistake at the path, and returns whether there was none.
func checkContents[T any](p *problems, path string, parse func([][]byte) (T, error), files ...string) bool {
	var contents [][]byte
	for _, file := range files {
		text, err := source.Read(file)
		if err != nil {
			p.add(path, "%w", err)
			return false
		}
		contents = append(contents, text)
	}
	_, err := parse(contents)
	if err != nil {
		p.add(path, "%w", err)
	}
	return err == nil
}

func checkKeyPair(p *problems, path, certificate, key string) bool {
	before := len(p.found)
	checkFile(p, path+".certificate_file", certificate)
	checkFile(p, path+".key_file", key)
	return len(p.found) == before && checkContents(p, path+".certificate_file", ParsePair, certificate, key)
}

func checkToken(p *problems, path, file string) {
	if file == "" {
		p.add(path, "must be set, because provider is static")
		return
	}
	checkContents(p, path, ParseToken, file)
}

// checkHost accepts nothing, a lower-case name or IPv4 address, or *. before one. Ports are not part of a host here.
func checkHost(p *problems, path, host string) {
	if host == "" {
		return
	}
	for label := range strings.SplitSeq(strings.TrimPrefix(host, "*."), ".") {
		if len(label) > 63 || !namePattern.MatchString(label) {
			p.add(path, "must be a lower-case host name without a port, such as example.com or *.example.com, got %q", host)
			return
		}
	}
}

// checkPrefix accepts nothing, or a path that begins with a slash, ends with none, and has no dot segments.
func checkPrefix(p *problems, path, prefix string) {
	switch {
	case prefix == "" || prefix == "/":
	case !strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//"):
		p.add(path, "must begin with one slash, got %q", prefix)
	case strings.HasSuffix(prefix, "/"):
		p.add(path, "must not end with a slash: %q matches what is below it too", strings.TrimRight(prefix, "/"))
	case !requestPath.MatchString(prefix):
		p.add(path, "must be a path as it stands in a request, without query, all but letters, digits and -._~!$&'()*+,;=:@ encoded "+
			"as in %%20, got %q", prefix)
	case dotSegment.MatchString(prefix):
		p.add(path, "must not have a segment that is . or .., which clients resolve before they send a path, got %q", prefix)
	}
}

// requestPath is a path of RFC 3986. dotSegment is what its section 5.2.4 removes, also where it is encoded.
var (
	requestPath = regexp.MustCompile(`^(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+$`)
	dotSegment  = regexp.MustCompile(`/(\.|%2[Ee]){1,2}(/|$)`)
)

func checkHeader(p *problems, path string, match HeaderMatch) {
	if !httpguts.ValidHeaderFieldName(match.Name) {
		p.add(path+".name", "must be a header's name, got %q", match.Name)
	}
	if strings.EqualFold(match.Name, "host") {
		p.add(path+".name", "must not be host: use the route's host")
	}
	if !httpguts.ValidHeaderFieldValue(match.Value) || match.Value == "" {
		p.add(path+".value", "must be a header's value without control characters, got %q", match.Value)
	}
}
