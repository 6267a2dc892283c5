package function

import (
	"regexp"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/environment"
)

// maxManagedTimeout is that of asynchronous invocations on Managed Instances. Source: "Configure Lambda function timeout" in the
// Lambda developer guide.
const maxManagedTimeout = 90 * time.Minute

// LongestTimeout is the limit on the timeout of a function.
func LongestTimeout(managed bool) time.Duration {
	if managed {
		return maxManagedTimeout
	}
	return environment.MaxTimeout
}

// Lambda's limits on what a function may be configured to be, not on Managed Instances.
const (
	MinMemoryMB = 128
	MaxMemoryMB = 10240
	MinTempMB   = 512 // of /tmp
	MaxTempMB   = 10240
	MaxWeights  = 1 // versions of an alias beside its main one
)

var (
	aliasName  = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,128}$`)
	onlyDigits = regexp.MustCompile(`^[0-9]+$`)
)

// IsAliasName tells whether an alias may have the name: 1 to 128 letters, digits, - or _, but not only digits, as versions have.
func IsAliasName(name string) bool {
	return aliasName.MatchString(name) && !onlyDigits.MatchString(name)
}
