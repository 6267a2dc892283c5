// Package spelling finds headers that servers take for each other.
package spelling

import (
	"net/http"
	"strings"
)

// Remove deletes headers in every spelling with dashes and underscores. Servers that map headers to CGI variables do not tell
// these apart. Each name must be canonical.
func Remove(h http.Header, names ...string) {
	for key := range h {
		for _, name := range names {
			if len(key) == len(name) && strings.EqualFold(strings.ReplaceAll(key, "_", "-"), name) {
				delete(h, key)
			}
		}
	}
}
