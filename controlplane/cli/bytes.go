package cli

import (
	"fmt"
	"strconv"
	"strings"
)

// bytesFlag is a flag's number of bytes: 500, 20KB, 1.5MB. A KB is 1024 bytes.
type bytesFlag float64

func (b *bytesFlag) String() string { return strconv.FormatFloat(float64(*b), 'f', -1, 64) }

// Type is what help calls the value.
func (b *bytesFlag) Type() string { return "BYTES" }

// Set reads a number with or without a unit.
func (b *bytesFlag) Set(text string) error {
	number, factor := text, 1.0
	for _, unit := range []struct {
		name   string
		factor float64
	}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(strings.ToUpper(text), unit.name); ok {
			number, factor = rest, unit.factor
			break
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(v >= 0 && v*factor <= 1e15) {
		return fmt.Errorf("%q is not a number of bytes such as 500, 20KB or 1.5MB", text)
	}
	*b = bytesFlag(v * factor)
	return nil
}
