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

// What a file may begin with.
const (
	gzipped       = "\x1f\x8b"
	byteOrderMark = "\xef\xbb\xbf" // programs of Windows put it before UTF-8
	utf16Little   = "\xff\xfe"
	utf16Big      = "\xfe\xff"
)

// open returns the text of a file that may be gzipped, without its byte order mark.
func open(r io.Reader) (*source, error) {
	text := bufio.NewReader(r)
	if _, err := text.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if begins(text, gzipped) {
		unzipped, err := gzip.NewReader(text)
		if err != nil {
			return nil, err
		}
		text = bufio.NewReader(unzipped)
	}
	if begins(text, utf16Little) || begins(text, utf16Big) {
		return nil, errors.New("is UTF-16, must be UTF-8")
	}
	if begins(text, byteOrderMark) {
		_, _ = text.Discard(len(byteOrderMark)) // they are in the buffer
	}
	return &source{reader: text}, nil
}

func begins(text *bufio.Reader, with string) bool {
	got, _ := text.Peek(len(with))
	return string(got) == with
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
