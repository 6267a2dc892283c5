// Package source reads what a configuration names: a file, or with env:NAME a variable. Where no file can be mounted, in a
// Fargate task say, configuration and secrets come as variables.
package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSize is more than any source has, in bytes. A configuration of thousands of functions has a few MiB.
	maxSize = 16 << 20
	// patience is how long who writes to a pipe may be silent.
	patience = 5 * time.Second
)

// prefix begins the name of a source that is a variable and not a file.
const prefix = "env:"

// Variable returns the variable that a name stands for. ok is false where it is a file's.
func Variable(name string) (variable string, ok bool) { return strings.CutPrefix(name, prefix) }

// Read returns what the file or the variable holds. A variable that is not set, or is empty, is an error. The error never
// holds any of the text. A pipe may be read, too; it is empty if nobody writes to it.
func Read(name string) ([]byte, error) {
	variable, ok := Variable(name)
	if !ok {
		return readFile(name)
	}
	text := os.Getenv(variable)
	if text == "" {
		return nil, fmt.Errorf("%s: the variable is not set", name)
	}
	return []byte(text), nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // to open a pipe would wait for a writer
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(patience)) // files have none
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(text) > maxSize {
		err = fmt.Errorf("%s: has more than %d bytes", name, maxSize)
	}
	return text, errors.Join(err, f.Close())
}
