// Package identity proves by certificate which part of a cell a process is: a control plane, a relay or an Envoy. The certificates
// are derived from one secret, which also keys the tokens of instances, or are files of the operator's.
//
// A certificate names its part by a URI, spiffe://DOMAIN/ROLE/NAME. The domain keeps cells apart that trust one CA.
package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A Role is what a part does.
type Role string

// The roles.
const (
	Control Role = "control"
	Relay   Role = "relay"
	Envoy   Role = "envoy"
)

// Domain is the one of certificates where none is configured.
const Domain = "lambda-dispatch"

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
	domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$`)
)

// An ID is who a part is.
type ID struct {
	Domain string
	Role   Role
	Name   string
}

// Validate reports what is wrong with an ID.
func (id ID) Validate() error {
	var errs []error
	if err := CheckDomain(id.Domain); err != nil {
		errs = append(errs, err)
	}
	if !slices.Contains([]Role{Control, Relay, Envoy}, id.Role) {
		errs = append(errs, fmt.Errorf("role: must be control, relay or envoy, got %.80q", id.Role))
	}
	if !namePattern.MatchString(id.Name) {
		errs = append(errs, fmt.Errorf("name: must be 1 to 63 letters, digits and inner . _ or -, got %.80q", id.Name))
	}
	return errors.Join(errs...)
}

// CheckDomain reports what is wrong with a domain.
func CheckDomain(domain string) error {
	if !domainPattern.MatchString(domain) {
		return fmt.Errorf("domain: must be lower-case letters, digits and inner . _ or -, got %.80q", domain)
	}
	return nil
}

// String is the URI.
func (id ID) String() string { return Prefix(id.Domain, id.Role) + id.Name }

// Prefix begins the URI of every part of a role.
func Prefix(domain string, role Role) string { return "spiffe://" + domain + "/" + string(role) + "/" }

func (id ID) uri() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.Domain, Path: "/" + string(id.Role) + "/" + id.Name}
}

// Of reads who a certificate says its owner is, within a domain. One that names several parts, or none, is nobody's.
func Of(certificate *x509.Certificate, domain string) (ID, error) {
	var found []ID
	var others []string
	for _, uri := range certificate.URIs {
		id, ok := parse(uri.String(), domain)
		if ok {
			found = append(found, id)
		} else {
			others = append(others, uri.String())
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return ID{}, fmt.Errorf("the certificate names %d parts, %s and %s, and must name one", len(found), found[0], found[1])
	case len(others) > 0:
		return ID{}, fmt.Errorf("the certificate names no part of %s: its URI is %.200q", domain, others[0])
	default:
		return ID{}, fmt.Errorf("the certificate names no part: it needs the URI spiffe://%s/ROLE/NAME", domain)
	}
}

func parse(uri, domain string) (ID, bool) {
	path, ok := strings.CutPrefix(uri, "spiffe://"+domain+"/")
	role, name, both := strings.Cut(path, "/")
	id := ID{Domain: domain, Role: Role(role), Name: name}
	return id, ok && both && id.Validate() == nil
}
