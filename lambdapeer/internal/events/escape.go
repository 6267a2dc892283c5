package events

import (
	"fmt"
	"strings"
)

// escapePath escapes what cannot stand in a path and leaves all else as it is, escapes included: some gateways decode the
// path that they hand on, others do not. An empty path becomes /.
func escapePath(path string) string {
	if path == "" {
		return "/"
	}
	return escape(path, func(i int) bool {
		c := path[i]
		return alphanumeric(c) || strings.IndexByte("-._~!$&'()*+,;=:@/[]", c) >= 0 ||
			c == '%' && i+2 < len(path) && hex(path[i+1]) && hex(path[i+2])
	})
}

// escapeQuery escapes what would end a query or a request line.
func escapeQuery(query string) string {
	return escape(query, func(i int) bool { return query[i] > ' ' && query[i] < 0x7f && query[i] != '#' })
}

// escape writes the bytes that are not safe as %XX.
func escape(s string, safe func(i int) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if safe(i) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
