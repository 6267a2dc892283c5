package recording

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// A source keeps the error that ended it. The last line of a file that was cut off is cut off too: the file is what is wrong then,
// not that line.
type source struct {
	reader io.Reader
	failed error // nil: nothing failed yet
}

// open returns the text of a file that may be gzipped.
func open(r io.Reader) (*source, error) {
	buffered := bufio.NewReader(r)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return &source{reader: buffered}, nil
	}
	text, err := gzip.NewReader(buffered)
	return &source{reader: text}, err
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file ends too early, as after a download that broke off: %w", err)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}
