package wire

import (
	"runtime/debug"
	"sync"
)

// module is this code's module, in our own programs and in those that import the library.
const module = "github.com/lambda-dispatch/lambda-dispatch"

// release is set by the linker where a release is built from an archive: -X <module>/lambdapeer/wire.release=v1.2.3
var release string

// Build names this program's copy of this code, for Message.Build: the module's version, or the revision that it was built
// from, or "unknown". It is for people; nothing is decided by it.
var Build = sync.OnceValue(func() string {
	if release != "" && checkWord("release", release, MaxBuild) == nil {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknownBuild
	}
	return buildOf(info)
})

const unknownBuild = "unknown"

func buildOf(info *debug.BuildInfo) string {
	name := versionOf(info)
	if name == "" || name == "(devel)" {
		name = revisionOf(info)
	}
	if checkWord("build", name, MaxBuild) != nil {
		return unknownBuild
	}
	return name
}

func versionOf(info *debug.BuildInfo) string {
	if info.Main.Path == module {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path != module {
			continue
		}
		if m.Replace != nil {
			return m.Replace.Version
		}
		return m.Version
	}
	return ""
}

// revisionOf is the revision in version control. It is this code's only if the main module is ours.
func revisionOf(info *debug.BuildInfo) string {
	if info.Main.Path != module {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
