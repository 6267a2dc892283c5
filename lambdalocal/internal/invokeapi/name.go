package invokeapi

import (
	"cmp"
	"regexp"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

var (
	targetRule    = regexp.MustCompile(`^(?:arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):)?(?:([0-9]{12}):)?(?:function:)?([a-zA-Z0-9-_.]+)(?::(\$LATEST|[a-zA-Z0-9-_]+))?$`)
	arnRule       = regexp.MustCompile(`^arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?$`)
	qualifierRule = regexp.MustCompile(`^[a-zA-Z0-9-_$]+$`)
)

const maxQualifier = 128

// A target is the function that a request names.
type target struct {
	region    string // empty unless it was named
	account   string // empty unless it was named
	name      string
	qualifier string // empty unless it was named
}

// version is the qualifier, or what stands for none.
func (t target) version() string { return cmp.Or(t.qualifier, function.Latest) }

// parseTarget reads NAME, ACCOUNT:function:NAME or an ARN, with or without :QUALIFIER, and the Qualifier parameter.
func parseTarget(text, parameter string) (target, error) {
	parts := targetRule.FindStringSubmatch(text)
	if parts == nil {
		return target{}, serviceerror.Invalid(text, "functionName", "must satisfy regular expression pattern: %s", targetRule)
	}
	t := target{region: parts[1], account: parts[2], name: parts[3], qualifier: parts[4]}
	if err := cmp.Or(notLonger(&parameter, maxQualifier, "qualifier"), matching(parameter, qualifierRule, "qualifier")); err != nil {
		return target{}, err
	}
	if parameter != "" && t.qualifier != "" && parameter != t.qualifier {
		return target{}, serviceerror.New(serviceerror.TypeInvalidValue,
			"The derived qualifier from the function name does not match the specified qualifier.")
	}
	t.qualifier = cmp.Or(t.qualifier, parameter)
	return t, nil
}
