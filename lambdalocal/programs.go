package lambdalocal

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/sandbox"
)

// locate makes the function's folders absolute.
func (f *Function) locate() error {
	layers := slices.Clone(f.Layers)
	for i := range layers {
		absolute, err := filepath.Abs(layers[i])
		if err != nil {
			return fmt.Errorf("function %s: layers: %w", f.Name, err)
		}
		layers[i] = absolute
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return fmt.Errorf("function %s: dir: %w", f.Name, err)
	}
	f.Dir, f.Layers = dir, layers
	return nil
}

// warnOfMissing logs a warning for each program that no environment could start now. A missing program is not an error of the
// configuration: it may be built before the first invocation. The function's Dir must be absolute.
func (f Function) warnOfMissing(log logrus.FieldLogger) {
	programs := append([][]string{f.Command}, f.Processes...)
	for _, x := range f.Extensions {
		programs = append(programs, x.Command)
	}
	for _, v := range f.Versions {
		if program(v.Command) {
			programs = append(programs, v.Command)
		}
	}
	for _, argv := range programs {
		if f.layered(argv[0]) {
			continue
		}
		if err := find(argv[0], f.Dir); err != nil {
			log.WithError(err).WithField("function", f.Name).Warn("program not found")
		}
	}
}

// layered tells whether one of the function's layers has the program.
func (f Function) layered(program string) bool {
	inside, found := strings.CutPrefix(program, sandbox.Layers+"/")
	return found && slices.ContainsFunc(f.Layers, func(layer string) bool {
		return find(filepath.Join(layer, inside), "") == nil
	})
}

// find looks a program up as starting it in the directory would.
func find(program, dir string) error {
	if strings.ContainsRune(program, filepath.Separator) && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	_, err := exec.LookPath(program)
	return err
}
