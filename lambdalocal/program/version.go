package program

import "runtime/debug"

// version names the build: a release, or the revision that it was built from.
func version(release string) string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
