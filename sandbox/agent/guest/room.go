//go:build linux

package guest

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A room is where a sandbox may write.
type room struct {
	fd    uintptr
	names string
}

// openRooms opens them. There is one file system for all.
func openRooms() []room {
	fd, err := unix.Open("/work", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return []room{{uintptr(fd), "/work, /tmp and /dev/shm"}}
}

// whatIsFull says where no more can be written, and how much may be; "" while
// there is room.
func whatIsFull(rooms []room) string {
	for _, place := range rooms {
		st, err := quick.Statfs(place.fd)
		if err != nil {
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
	if what := whatIsFull(x.rooms); what != "" {
		exit.Cause = string(sandbox.CauseDisk)
		exit.Evidence = together(what, exit.GetEvidence())
	}
}
