package invokeapi

import (
	"regexp"
	"strings"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// Latest is the qualifier that a request without one means.
const Latest = "$LATEST"

var (
	nameRule      = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	qualifierRule = regexp.MustCompile(`^(\$LATEST|[a-zA-Z0-9-_]{1,128})$`)
	versionRule   = regexp.MustCompile(`^[0-9]+$`)
)

// A target is the function that a request names.
type target struct {
	name      string
	qualifier string // never empty
}

// parseTarget reads NAME, NAME:QUALIFIER, ACCOUNT:function:NAME[:QUALIFIER] or a whole ARN, and the Qualifier parameter.
func parseTarget(text, parameter string) (target, error) {
	name := text
	if _, rest, ok := strings.Cut(text, "function:"); ok && (strings.HasPrefix(text, "arn:") || strings.Count(text, ":") <= 3) {
		name = rest
	}
	name, qualifier, _ := strings.Cut(name, ":")
	switch {
	case qualifier == "":
		qualifier = parameter
	case parameter != "" && parameter != qualifier:
		return target{}, serviceerror.New(serviceerror.TypeInvalidValue,
			"The derived qualifier from the function name does not match the specified qualifier.")
	}
	if qualifier == "" {
		qualifier = Latest
	}
	if !nameRule.MatchString(name) || !qualifierRule.MatchString(qualifier) {
		return target{}, serviceerror.New(serviceerror.TypeInvalidValue, "%q is no function name, with qualifier %q", text, qualifier)
	}
	return target{name: name, qualifier: qualifier}, nil
}

// version is what the qualifier stands for. There is one version of the code, so an alias stands for the latest.
func (t target) version() string {
	if versionRule.MatchString(t.qualifier) {
		return t.qualifier
	}
	return Latest
}
