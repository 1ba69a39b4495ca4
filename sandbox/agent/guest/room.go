//go:build linux

package guest

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// whatIsFull says where no more can be written, and how much may be; "" while
// there is room. /work and /tmp are one file system.
func whatIsFull() string {
	for _, place := range []struct{ path, names string }{{"/work", "/work and /tmp"}, {"/dev/shm", "/dev/shm"}} {
		var st unix.Statfs_t
		if err := unix.Statfs(place.path, &st); err != nil {
			continue
		}
		switch {
		case st.Blocks > 0 && st.Bavail == 0:
			return fmt.Sprintf("no room is left in %s: %d MiB may be written", place.names, st.Blocks*uint64(st.Bsize)>>20)
		case st.Files > 0 && st.Ffree == 0:
			return fmt.Sprintf("no more files can be made in %s: there may be %d", place.names, st.Files)
		}
	}
	return ""
}

// complainsOfRoom reports whether a piece of stderr says that a disk is full, as
// the C library and Node word it.
func complainsOfRoom(stderr []byte) bool {
	return bytes.Contains(stderr, []byte("o space left on device"))
}

// blameDisk names the cause of a failure that left no room. What was full before
// is blamed only when the execution complained of it: whoever fails on a full
// disk need not have failed because of it.
func (x *execution) blameDisk(exit *wire.Exit, complained bool) {
	untold := exit.GetCause() == "" || exit.GetCause() == string(sandbox.CauseCrashed)
	if exit.GetCode() == 0 || !untold || x.fullBefore && !complained {
		return
	}
	if what := whatIsFull(); what != "" {
		exit.Cause = string(sandbox.CauseDisk)
		exit.Evidence = together(what, exit.GetEvidence())
	}
}
