package local

import "os"

// longestDir is config.MaxStateDir, which the demo has no other need of; a test of dev holds what is made to it.
const longestDir = 54

// MakeDir makes a folder for Options.Dir: in $TMPDIR, or in /tmp where the paths of sockets in the first would be too long.
func MakeDir() (string, error) {
	const pattern = "lambda-dispatch-"
	dir, err := os.MkdirTemp("", pattern)
	if err != nil || len(dir) <= longestDir {
		return dir, err
	}
	if err := os.Remove(dir); err != nil {
		return "", err
	}
	return os.MkdirTemp("/tmp", pattern)
}
