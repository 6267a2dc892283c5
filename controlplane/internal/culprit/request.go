package culprit

import (
	"hash/maphash"
	"iter"
	"strings"
)

// A Request is what is known of a request before its app sees it. What follows a question mark in the path does not count.
type Request struct {
	Method string
	Path   string
}

// A request is of several kinds: everything below the first segment of its path, below the first two, and so on, and of those with exactly its
// segments, if they are few. Segments that look like ids are taken for the same one.

// maxDepth is how many segments tell kinds apart.
const maxDepth = 4

// id stands for a segment that looks like one.
const id = "{id}"

// A key names a kind. Names are not kept for requests that nobody suspects.
type key uint64

var seed = maphash.MakeSeed()

// kinds lists the kinds of a request, the widest first, each with its depth.
func (r Request) kinds() iter.Seq2[key, int] {
	return func(yield func(key, int) bool) {
		var h maphash.Hash
		h.SetSeed(seed)
		h.WriteString(method(r.Method))
		depth, rest := 0, r.segments()
		for more := true; more && depth < maxDepth; depth++ {
			var segment string
			segment, rest, more = strings.Cut(rest, "/")
			h.WriteByte('/')
			h.WriteString(folded(segment))
			if more && !yield(key(h.Sum64()), depth) {
				return
			}
			if !more {
				h.WriteByte(0)
				yield(key(h.Sum64()), depth)
			}
		}
	}
}

// name is that of the request's kind of this depth.
func (r Request) name(depth int) string {
	var out strings.Builder
	out.WriteString(method(r.Method))
	out.WriteByte(' ')
	more, rest := true, r.segments()
	for range depth + 1 {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		out.WriteByte('/')
		out.WriteString(folded(segment))
	}
	if more {
		out.WriteString("/*")
	}
	return out.String()
}

// Name is that of the request's narrowest kind.
func (r Request) Name() string {
	return r.name(min(strings.Count(r.segments(), "/"), maxDepth-1))
}

func (r Request) segments() string {
	path, _, _ := strings.Cut(r.Path, "?")
	return strings.TrimPrefix(path, "/")
}

// method keeps names short.
func method(m string) string {
	if m == "" || len(m) > 20 || strings.ContainsFunc(m, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' }) {
		return "?"
	}
	return m
}

const longest = 32 // segment that is a word

// folded is the segment, or id for one that looks like an id: it has a digit and is no version, is long, or has odd characters.
func folded(segment string) string {
	if len(segment) > longest {
		return id
	}
	for n, c := range []byte(segment) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.' || c == '~'
		version := c >= '0' && c <= '9' && n > 0 && n < 3 && segment[0] == 'v' && len(segment) <= 3
		if !letter && !version {
			return id
		}
	}
	return segment
}
