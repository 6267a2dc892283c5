// Package source reads what a configuration names: a file, or with env:NAME a variable. Where no file can be mounted, in a
// Fargate task say, configuration and secrets come as variables.
package source

import (
	"fmt"
	"os"
	"strings"
)

// prefix begins the name of a source that is a variable and not a file.
const prefix = "env:"

// Variable returns the variable that a name stands for. ok is false where it is a file's.
func Variable(name string) (variable string, ok bool) { return strings.CutPrefix(name, prefix) }

// Read returns what the file or the variable holds. A variable that is not set, or is empty, is an error. The error never
// holds any of the text.
func Read(name string) ([]byte, error) {
	variable, ok := Variable(name)
	if !ok {
		return os.ReadFile(name)
	}
	text := os.Getenv(variable)
	if text == "" {
		return nil, fmt.Errorf("%s: the variable is not set", name)
	}
	return []byte(text), nil
}
