package simulate_test

import "testing"

// long skips a test that takes more than a few seconds where only short ones are asked for.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long")
	}
}
