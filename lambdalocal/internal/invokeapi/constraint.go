package invokeapi

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/function"
	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// Constraints of the API reference on single parameters. Each function returns nil if the value is within its constraint; a value
// that is absent is, unless the function says otherwise.

// Lengths in characters.
const (
	maxDescription = 256
	maxHandler     = 128
)

var (
	versionRule = regexp.MustCompile(`^(\$LATEST|[0-9]+)$`)
	numberRule  = regexp.MustCompile(`^[0-9]+$`)
	handlerRule = regexp.MustCompile(`^[^\s]+$`)
)

func within(n *int, least, most int, parameter string) error {
	switch {
	case n == nil:
		return nil
	case *n < least:
		return serviceerror.Invalid(strconv.Itoa(*n), parameter, "must have value greater than or equal to %d", least)
	case *n > most:
		return serviceerror.Invalid(strconv.Itoa(*n), parameter, "must have value less than or equal to %d", most)
	}
	return nil
}

// atLeast refuses a value that is absent, too.
func atLeast(n *int, least int, parameter string) error {
	if n == nil {
		return serviceerror.Absent(parameter)
	}
	return within(n, least, *n, parameter)
}

func notLonger(text *string, most int, parameter string) error {
	if text != nil && utf8.RuneCountInString(*text) > most {
		return serviceerror.Invalid(*text, parameter, "must have length less than or equal to %d", most)
	}
	return nil
}

func oneOf(text, parameter string, values ...string) error {
	for _, value := range values {
		if text == value {
			return nil
		}
	}
	return serviceerror.Invalid(text, parameter, "must satisfy enum value set: [%s]", strings.Join(values, ", "))
}

// matching takes an empty text for an absent one.
func matching(text string, rule *regexp.Regexp, parameter string) error {
	if text != "" && !rule.MatchString(text) {
		return serviceerror.Invalid(text, parameter, "must satisfy regular expression pattern: %s", rule)
	}
	return nil
}

// aliasName refuses an empty text.
func aliasName(text string) error {
	if !function.IsAliasName(text) {
		return serviceerror.Invalid(text, "name", "must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")
	}
	return nil
}
