package main

import "runtime/debug"

// release is set by the linker where a release is built from an archive: -X main.release=v1.2.3
var release string

// version names the build: a release, or the revision that it was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
