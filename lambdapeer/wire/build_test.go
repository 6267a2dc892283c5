package wire

import (
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuildNamesTheReleaseOrTheRevision(t *testing.T) {
	ours := func(version string) debug.Module { return debug.Module{Path: module, Version: version} }
	revision := []debug.BuildSetting{{Key: "vcs.revision", Value: "0756d24abc"}}
	replaced := ours("v1.0.0")
	replaced.Replace = &debug.Module{Path: "../here"}
	tests := []struct {
		name, want string
		info       debug.BuildInfo
	}{
		{"a release", "v1.2.3", debug.BuildInfo{Main: ours("v1.2.3"), Settings: revision}},
		{"a checkout", "0756d24abc", debug.BuildInfo{Main: ours("(devel)"), Settings: revision}},
		{"an export", "unknown", debug.BuildInfo{Main: ours("(devel)")}},
		{"the library", "v1.4.0", debug.BuildInfo{Main: debug.Module{Path: "app"}, Deps: []*debug.Module{{Path: "x", Version: "v9"}, {Path: module, Version: "v1.4.0"}}}},
		{"the library from a folder, in an app's checkout", "unknown", debug.BuildInfo{
			Main: debug.Module{Path: "app"}, Deps: []*debug.Module{&replaced}, Settings: revision,
		}},
		{"a name that the protocol cannot carry", "unknown", debug.BuildInfo{Main: ours(strings.Repeat("v", MaxBuild+1))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, buildOf(&tt.info)) })
	}
	require.NotEmpty(t, Build())
}
