package admin

import (
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// compressors are reused, because each has buffers of several hundred KiB.
var compressors = sync.Pool{New: func() any {
	c, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return c
}}

// compress gzips answers for clients that can read that. The status page asks each second for all instances; a thousand are some 600 KB.
func compress(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		if !readsGzip(r.Header.Get("Accept-Encoding")) {
			next(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		c := compressors.Get().(*gzip.Writer)
		defer compressors.Put(c)
		c.Reset(w)
		next(compressed{w, c}, r)
		_ = c.Close() // an error means that the client has gone
	}
}

// readsGzip tells whether a client names gzip among what it can read, and does not refuse it.
func readsGzip(accepted string) bool {
	for one := range strings.SplitSeq(accepted, ",") {
		coding, quality, _ := strings.Cut(one, ";")
		if strings.TrimSpace(coding) == "gzip" && strings.TrimRight(strings.ReplaceAll(quality, " ", ""), "0.") != "q=" {
			return true
		}
	}
	return false
}

type compressed struct {
	http.ResponseWriter
	body *gzip.Writer
}

func (c compressed) Write(p []byte) (int, error) { return c.body.Write(p) }
