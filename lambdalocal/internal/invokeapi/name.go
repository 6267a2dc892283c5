package invokeapi

import (
	"regexp"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

var (
	targetRule    = regexp.MustCompile(`^(?:arn:[a-z-]+:lambda:([a-z0-9-]+):)?(?:([0-9]{12}):)?(?:function:)?([a-zA-Z0-9-_]{1,64})(?::(.+))?$`)
	arnRule       = regexp.MustCompile(`^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?$`)
	qualifierRule = regexp.MustCompile(`^(\$LATEST|[a-zA-Z0-9-_]{1,128})$`)
)

// A target is the function that a request names.
type target struct {
	region    string // empty unless it was named
	account   string // empty unless it was named
	name      string
	qualifier string // never empty
}

// parseTarget reads NAME, ACCOUNT:function:NAME or an ARN, with or without :QUALIFIER, and the Qualifier parameter.
func parseTarget(text, parameter string) (target, error) {
	parts := targetRule.FindStringSubmatch(text)
	if parts == nil {
		return target{}, serviceerror.Invalid(text, "functionName", "must satisfy regular expression pattern: %s", targetRule)
	}
	t := target{region: parts[1], account: parts[2], name: parts[3], qualifier: parts[4]}
	switch {
	case t.qualifier == "" && parameter == "":
		t.qualifier = function.Latest
	case t.qualifier == "":
		t.qualifier = parameter
	case parameter != "" && parameter != t.qualifier:
		return target{}, serviceerror.New(serviceerror.TypeInvalidValue,
			"The derived qualifier from the function name does not match the specified qualifier.")
	}
	if !qualifierRule.MatchString(t.qualifier) {
		return target{}, serviceerror.Invalid(t.qualifier, "qualifier", "must satisfy regular expression pattern: %s", qualifierRule)
	}
	return t, nil
}
