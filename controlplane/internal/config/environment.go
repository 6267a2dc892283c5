package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// EnvPrefix begins the name of every variable that sets a key: LAMBDA_DISPATCH_CONTROL_ADMIN_ADDRESS is admin.address.
const EnvPrefix = projectPrefix + "CONTROL_"

const (
	projectPrefix = "LAMBDA_DISPATCH_"      // begins every name of the project, and began those that set keys
	peerPrefix    = projectPrefix + "PEER_" // lambdapeer's, which may stand in the same environment
)

// A variable is an environment variable that may be meant for us. Its name begins with projectPrefix, is not lambdapeer's, and was
// not made by Kubernetes.
type variable struct{ name, text string }

func variablesOf(environ []string) []variable {
	var found []variable
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		ours := strings.HasPrefix(name, projectPrefix) && !strings.HasPrefix(name, peerPrefix)
		if ours && !serviceLink(name, text) {
			found = append(found, variable{name, text})
		}
	}
	return found
}

// links are the names that Kubernetes gives to each container for each Service of the namespace. They begin with the
// Service's name in capitals, which may be ours: a Service lambda-dispatch-control makes LAMBDA_DISPATCH_CONTROL_PORT.
var links = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$`)

// serviceLink tells whether Kubernetes made the variable. Others may have a name that ends with _PORT, but not with such a URL as its
// value.
func serviceLink(name, text string) bool {
	url, _, found := strings.Cut(text, "://")
	return links.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && found && slices.Contains([]string{"tcp", "udp", "sctp"}, url)
}

// named reports whether the variable has today's prefix.
func (v variable) named() bool { return strings.HasPrefix(v.name, EnvPrefix) }

// variable returns the name of the leaf's environment variable, oldVariable the one that it had.
func (l leaf) variable() string    { return EnvPrefix + l.capitals() }
func (l leaf) oldVariable() string { return projectPrefix + l.capitals() }

func (l leaf) capitals() string { return strings.ToUpper(strings.ReplaceAll(l.path, ".", "_")) }

// applyEnvironment sets the leaves that environ names, those of today's names last. A variable with EnvPrefix that names no
// leaf is a mistake: a misspelt one would otherwise be ignored without a word.
func applyEnvironment(leaves []leaf, environ []string, p *problems) {
	all := variablesOf(environ)
	for _, v := range all {
		if l := renamed(leaves, all, v); l != nil {
			set([]leaf{*l}, leaf.oldVariable, projectPrefix, v.name, v.text, "", p)
		}
	}
	for _, v := range all {
		if v.named() {
			set(leaves, leaf.variable, EnvPrefix, v.name, v.text, "unknown environment variable", p)
		}
	}
}

// renamed returns the leaf that a variable sets under its old name, unless the new one is set as well.
func renamed(leaves []leaf, all []variable, v variable) *leaf {
	i := slices.IndexFunc(leaves, func(l leaf) bool { return l.oldVariable() == v.name })
	if i < 0 || slices.ContainsFunc(all, func(other variable) bool { return other.name == leaves[i].variable() }) {
		return nil
	}
	return &leaves[i]
}

// EnvironmentWarnings returns a text for each variable of environ that has an old name, which a later release will not read, and for each
// that looks like ours and is not read.
func EnvironmentWarnings(environ []string) []string {
	cfg := Default()
	leaves := leavesOf(&cfg)
	all := variablesOf(environ)
	var warnings []string
	for _, v := range all {
		if v.named() {
			continue
		}
		if l := renamed(leaves, all, v); l != nil {
			warnings = append(warnings, fmt.Sprintf("%s is an old name, which the next release will not read: use %s", v.name, l.variable()))
			continue
		}
		today := EnvPrefix + strings.TrimPrefix(v.name, projectPrefix)
		warnings = append(warnings, fmt.Sprintf("%s is not read: the control plane's variables begin with %s%s",
			v.name, EnvPrefix, hint(leaves, leaf.variable, EnvPrefix, today)))
	}
	return append(warnings, astray(leaves, environ)...)
}

// astray returns a text for each name without the project's prefix that is a misspelling of a variable: in small letters, with dashes,
// or less than three bytes from it.
func astray(leaves []leaf, environ []string) (warnings []string) {
	known := make([]string, len(leaves))
	for i, l := range leaves {
		known[i] = l.variable()
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, projectPrefix) {
			continue
		}
		if near := nearest(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), known, 3); near != "" {
			warnings = append(warnings, fmt.Sprintf("%s is not read: did you mean %s?", name, near))
		}
	}
	return warnings
}
