package lambdalocal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

func TestProgramsThatAreMissingAreTold(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "there"), nil, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o600))
	f := DefaultFunction("web")
	f.Dir, f.Command, f.Extensions = dir, []string{"./there", "x"}, []Extension{Program("sh"), Program("no-such-program"), Program("./text")}
	f.Versions = []Version{{Name: "1", Command: []string{"/nowhere/at-all"}}, {Name: "2"}}
	cfg := Default()
	cfg.Address, cfg.Functions = "127.0.0.1:0", []Function{f}
	log, told := test.NewNullLogger()
	s, err := New(cfg, log)
	require.NoError(t, err)
	require.NoError(t, s.closeFronts())
	entries := told.AllEntries()
	require.Len(t, entries, 3)
	for i, missing := range []string{"no-such-program", filepath.Join(dir, "text"), "/nowhere/at-all"} {
		require.Equal(t, "program not found", entries[i].Message)
		require.Equal(t, "web", entries[i].Data["function"])
		require.ErrorContains(t, entries[i].Data["error"].(error), missing)
	}
}
