package function

import (
	"regexp"
	"time"
)

// Lambda's limits on what a function may be configured to be, not on Managed Instances. An invocation may use its time to the end
// (assumed: long-invocation).
const (
	MaxTimeout  = 15 * time.Minute
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
