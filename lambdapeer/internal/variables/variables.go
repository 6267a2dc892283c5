// Package variables knows the names of the peer's environment variables: the present ones, their former ones, and those that
// Kubernetes makes for Services and that may look like the peer's.
package variables

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Prefix begins the name of every variable of the peer. Others that begin with projectPrefix are the control plane's, or
// had that name before.
const (
	Prefix        = projectPrefix + "PEER_"
	projectPrefix = "LAMBDA_DISPATCH_"
	controlPrefix = projectPrefix + "CONTROL_"
)

// renamed are the variables that began with projectPrefix alone, without their prefix.
var renamed = []string{
	"ASYNC_INIT", "CA_FILE", "EVENT_PATH", "FUNCTION", "LOG_LEVEL", "PORT", "PROTOCOL", "READINESS_PATH", "READINESS_TIMEOUT", "RELAY",
	"TOKEN", "TOKEN_FILE",
}

// all are the variables that there are, without their prefix.
var all = slices.Sorted(slices.Values(append([]string{
	"BASE_PATH", "DROP_STAGE", "EVENT_CONTEXT", "FREEZE_PATH", "FREEZE_TIMEOUT", "INVOKE_MODE", "PUBLIC_KEY", "READINESS_PROTOCOL", "RELAYS", "RELAY_CA", "REQUIRE_TRUST", "THAW_PATH",
}, renamed...)))

// links are the names that Kubernetes gives to each container for each Service of the namespace: the Service's name in
// capitals, which may begin as ours do, and one of these ends.
var links = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$`)

// link tells whether Kubernetes made the variable. A name that ends with _PORT alone may be ours, but not with such a URL.
func link(name, text string) bool {
	url, _, found := strings.Cut(text, "://")
	return links.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && found && slices.Contains([]string{"tcp", "udp", "sctp"}, url)
}

// Reader returns a getenv that finds a variable by its old name where it is not set, and none that Kubernetes made.
func Reader(getenv func(string) string) func(string) string {
	read := func(name string) string {
		text := getenv(name)
		if link(name, text) {
			return ""
		}
		return text
	}
	return func(name string) string {
		text := read(name)
		if short, ours := strings.CutPrefix(name, Prefix); text == "" && ours && slices.Contains(renamed, short) {
			return read(projectPrefix + short)
		}
		return text
	}
}

// Old returns a variable's former name, or "" if it had none.
func Old(name string) string {
	short := strings.TrimPrefix(name, Prefix)
	if !slices.Contains(renamed, short) {
		return ""
	}
	return projectPrefix + short
}

// Warnings returns a text for each variable of environ ("NAME=value") that has an old name, which a later release will not read,
// or that looks like the peer's and is not read.
func Warnings(environ []string) []string {
	var warnings []string
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		switch ours := strings.HasPrefix(name, projectPrefix); {
		case ours && !strings.HasPrefix(name, controlPrefix) && !link(name, text):
			warnings = append(warnings, warning(environ, name)...)
		case !ours:
			warnings = append(warnings, astray(name)...)
		}
	}
	return warnings
}

// astray holds a text if a name without the project's prefix is a misspelt one of ours: in small letters, with dashes, or less than
// three bytes from it.
func astray(name string) []string {
	near := nearest(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), Prefix, 3)
	if near == "" {
		return nil
	}
	return []string{fmt.Sprintf("%s is not read: there is no such variable, did you mean %s?", name, Prefix+near)}
}

// warning holds one text, or none.
func warning(environ []string, name string) []string {
	short, ours := strings.CutPrefix(name, Prefix)
	old := strings.TrimPrefix(name, projectPrefix)
	switch {
	case ours && slices.Contains(all, short):
		return nil
	case !ours && slices.Contains(renamed, old) && !set(environ, Prefix+old):
		return []string{fmt.Sprintf("%s is an old name, which the next release will not read: use %s%s", name, Prefix, old)}
	case !ours:
		short = old
	}
	return []string{fmt.Sprintf("%s is not read: there is no such variable%s", name, hint(short))}
}

func set(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(entry string) bool {
		text, found := strings.CutPrefix(entry, name+"=")
		return found && text != "" && !link(name, text)
	})
}

// hint names the variable that is most like a name, if one is near.
func hint(short string) string {
	near := nearest(short, "", 1+len(short)/2)
	if near == "" {
		return ""
	}
	return ", did you mean " + Prefix + near + "?"
}

// nearest returns the variable that, behind the prefix, is most like name, or nothing when none is nearer than limit. It is called at
// every cold start, for each variable that there is.
func nearest(name, prefix string, limit int) (best string) {
	for _, short := range all {
		longer := len(name) - len(prefix) - len(short)
		if max(longer, -longer) >= limit {
			continue // at least so many bytes are to insert or delete
		}
		if d := distance(name, prefix+short); d < limit {
			best, limit = short, d
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace to turn a into b, one row at a time.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal, row[j+1] = row[j+1], min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
