package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const temp = "/tmp"

// SharedBy are the folders in the machine's /tmp that the texts name, arguments or values of variables: what a function was told
// to use is no scratch space of its own. Of a path counts the deepest folder that exists, and a file only where it lies in /tmp
// itself.
func SharedBy(texts []string) []string {
	var found []string
	for _, text := range texts {
		for _, word := range strings.FieldsFunc(text, separates) {
			if path := shared(word); path != "" {
				found = append(found, path)
			}
		}
	}
	return outermost(found)
}

// outermost leaves out what is inside another.
func outermost(paths []string) (kept []string) {
	slices.Sort(paths)
	for _, path := range paths {
		if !slices.ContainsFunc(kept, func(outer string) bool { return path == outer || strings.HasPrefix(path, outer+"/") }) {
			kept = append(kept, path)
		}
	}
	return kept
}

func separates(r rune) bool { return strings.ContainsRune(" \t\n\"'=:;,", r) }

// shared is empty for a path that is not in /tmp, or does not exist.
func shared(path string) string {
	if path = filepath.Clean(path); !strings.HasPrefix(path, temp+"/") {
		return ""
	}
	for path != temp {
		about, err := os.Stat(path)
		if err == nil && (about.IsDir() || filepath.Dir(path) == temp) {
			return path
		}
		path = filepath.Dir(path)
	}
	return ""
}
