//go:build linux

package guest

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// memoryKills returns how many processes the kernel has killed for want of
// memory, all it sees; -1 where it does not say. Only an agent that visits has
// to know: elsewhere the daemon reads the counters of the cgroup.
func memoryKills() int {
	f, err := os.Open("/proc/vmstat")
	if err != nil {
		return -1
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if number, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n
			}
		}
	}
	return -1
}

// blameMemory names the cause of a death by a SIGKILL that is not ours, while
// the kernel killed for want of memory. A shell tells of its child's death by
// its status alone.
func (x *execution) blameMemory(exit *wire.Exit) {
	untold := exit.GetCause() == "" || exit.GetCause() == string(sandbox.CauseCrashed)
	if x.killsBefore < 0 || !untold || exit.GetCode() != 128+int32(syscall.SIGKILL) || memoryKills() <= x.killsBefore {
		return
	}
	exit.Cause = string(sandbox.CauseOOM)
	exit.Evidence = together("the kernel killed a process for want of memory", exit.GetEvidence())
}
