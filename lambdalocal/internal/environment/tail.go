package environment

import (
	"strings"
	"sync"
)

const tailSize = 4 << 10 // Lambda's own, of the log that an invocation returns

// A tail keeps the last 4 KiB of the lines that it was given. Its zero value is empty.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(append(t.text, line...), '\n')
	if over := len(t.text) - tailSize; over > 0 {
		t.text = t.text[:copy(t.text, t.text[over:])]
	}
}

// take returns the tail and empties it.
func (t *tail) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.text
	t.text = nil
	return text
}

// lastLines are the last n lines of a tail.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
