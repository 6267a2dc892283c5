package awslambda

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"time"

	"github.com/lambda-dispatch/lambda-dispatch/controlplane/internal/bill"
)

// The fields of Lambda's REPORT line. The line is text for people, so each field is looked for by itself and may be missing.
var (
	reportLine = regexp.MustCompile(`(?m)^REPORT RequestId: .*$`)
	billed     = regexp.MustCompile(`Billed Duration: ([0-9.]+) ms`)
	initial    = regexp.MustCompile(`Init Duration: ([0-9.]+) ms`)
	memory     = regexp.MustCompile(`Memory Size: ([0-9]+) MB`)
)

// parseTail reads the log tail of an Invoke answer, in base64. What cannot be read is zero.
func parseTail(encoded string) bill.Usage {
	tail, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return bill.Usage{}
	}
	lines := reportLine.FindAll(tail, -1)
	if len(lines) == 0 {
		return bill.Usage{}
	}
	line := lines[len(lines)-1] // the app may have printed one of its own; Lambda's comes last
	return bill.Usage{
		Billed:   time.Duration(number(billed, line) * float64(time.Millisecond)),
		Init:     time.Duration(number(initial, line) * float64(time.Millisecond)),
		MemoryMB: int(number(memory, line)),
	}
}

func number(field *regexp.Regexp, line []byte) float64 {
	m := field.FindSubmatch(line)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || n < 0 || n > 1e9 {
		return 0
	}
	return n
}
