package main

import (
	"runtime"
	"runtime/debug"
)

// version is set by make build: the linker can reach nothing but a variable.
var version string

// release is the version of this program.
func release() string {
	if version != "" {
		return version
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	return "development"
}

func versionLine() string {
	return "sandwarden " + release() + " (" + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}
