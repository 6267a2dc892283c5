// Command flaky reads what go test -json wrote of a run in which failed tests were tried again, and prints the tests that
// failed and then passed, each with the message of its first failure. It ends with 0: whether the run passed is not its to say.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "flaky:", err)
		os.Exit(1)
	}
}

// run reports on the files of a run, in the order of their names.
func run(files []string, out io.Writer) error {
	var all []flake
	for _, name := range files {
		found, err := readFile(name)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	report(out, all)
	return nil
}

func readFile(name string) ([]flake, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := flakes(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return found, nil
}

func report(out io.Writer, all []flake) {
	if len(all) == 0 {
		fmt.Fprintln(out, "flaky tests: none")
		return
	}
	fmt.Fprintf(out, "flaky tests: %d failed and passed at a second try; the first failure of each:\n", len(all))
	for _, f := range all {
		fmt.Fprintf(out, "  FLAKY %s %s\n", f.Package, f.Test)
		for _, line := range f.Message {
			fmt.Fprintf(out, "        %s\n", line)
		}
	}
}
