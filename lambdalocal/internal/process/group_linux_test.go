package process

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process may begin in a control group.
func TestAProcessBeginsInItsGroup(t *testing.T) {
	var dir string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
			dir = fmt.Sprintf("%s/test-of-process-%d", root, os.Getpid())
		}
	}
	if dir == "" || os.Mkdir(dir, 0o755) != nil {
		t.Skip("no control groups of version 2 here")
	}
	defer func() { require.NoError(t, os.Remove(dir)) }()
	folder, err := os.Open(dir)
	require.NoError(t, err)
	defer folder.Close()
	o := &output{}
	g, err := Start(Spec{Argv: []string{"cat", "/proc/self/cgroup"}, Env: os.Environ(), Line: o.line, Group: folder, Limits: Limits{OpenFiles: 100}})
	require.NoError(t, err)
	<-g.Done()
	require.Contains(t, o.lines(), fmt.Sprintf("0::/test-of-process-%d", os.Getpid()))
}

// What cannot be limited does not run.
func TestAnErrorOfItsLimitsStartsNoProcess(t *testing.T) {
	mark := t.TempDir() + "/ran"
	_, err := Start(Spec{
		Argv: []string{"touch", mark}, Env: os.Environ(), Line: func(string) {},
		Within: func(func() error) error { return os.ErrPermission },
	})
	require.ErrorIs(t, err, os.ErrPermission)
	require.NoFileExists(t, mark)
}
