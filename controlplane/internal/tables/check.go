package tables

import "fmt"

func checkRequired(field string, there bool) error {
	if !there {
		return fmt.Errorf("%s: required", field)
	}
	return nil
}

func checkOptional(field, s string, most int) error {
	if s == "" {
		return nil
	}
	return checkWord(field, s, most)
}

// checkWord allows only printable ASCII in names, so that logs and metrics need not quote them.
func checkWord(field, s string, most int) error {
	if s == "" {
		return fmt.Errorf("%s: required", field)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("%s: %.80q holds a space or an unprintable character", field, s)
		}
	}
	return checkSize(field, len(s), most)
}

func checkSize(field string, n, most int) error {
	if n > most {
		return fmt.Errorf("%s: has %d, at most %d", field, n, most)
	}
	return nil
}

func checkRange(field string, n, most int) error {
	if n < 0 || n > most {
		return fmt.Errorf("%s: %d is not within 0 and %d", field, n, most)
	}
	return nil
}

// maxDollars is more than any instance costs per hour.
const maxDollars = 1e6

func checkDollars(d float64) error {
	if d < 0 || d > maxDollars {
		return fmt.Errorf("dollars: %g is not within 0 and %g", d, maxDollars)
	}
	return nil
}
