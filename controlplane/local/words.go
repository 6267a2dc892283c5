package local

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// Of the output of a part its error shows so many lines, and at most so many bytes.
const (
	lastLines = 12
	lastBytes = 8 << 10
)

// lastWords passes the output of a part on, and keeps the end of it for the error that says how the part ended.
type lastWords struct {
	log io.Writer // nil: nobody reads it

	mu   sync.Mutex // guards the field below
	text []byte
}

// Write implements io.Writer.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.text = append(w.text, p...)
	if extra := len(w.text) - lastBytes; extra > 0 {
		w.text = bytes.Clone(w.text[extra:])
	}
	w.mu.Unlock()
	if w.log != nil {
		return w.log.Write(p)
	}
	return len(p), nil
}

// end is the end of the output, to be put behind an error.
func (w *lastWords) end() string {
	w.mu.Lock()
	text := strings.TrimSpace(string(w.text))
	w.mu.Unlock()
	if text == "" {
		return ". It had printed nothing"
	}
	lines := strings.Split(text, "\n")
	return ". The end of its output:\n" + strings.Join(lines[max(len(lines)-lastLines, 0):], "\n")
}
