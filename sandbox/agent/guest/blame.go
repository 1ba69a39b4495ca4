//go:build linux

package guest

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// exitOf tells a process's ending as an exit.
func exitOf(e ending) *wire.Exit {
	exit := &wire.Exit{Code: int32(e.status.ExitStatus()), Cpu: int64(e.cpu), PeakBytes: e.peak}
	if e.status.Signaled() {
		s := e.status.Signal()
		exit.Code = 128 + int32(s)
		exit.Evidence = "ended by signal " + unix.SignalName(s)
	}
	return exit
}

// blameCall names the cause of a death by the system call filter. A shell tells
// of its child's death by its status alone.
func blameCall(exit *wire.Exit) {
	if exit.GetCode() == 128+int32(syscall.SIGSYS) && exit.GetCause() == "" {
		exit.Cause = string(sandbox.CauseSeccomp)
		exit.Evidence = "ended by SIGSYS: a forbidden system call"
	}
}

// blameTasks names the cause of a failure during which the kernel refused to
// start processes.
func blameTasks(exit *wire.Exit, refusals int) {
	if refusals > 0 && exit.GetCode() != 0 && exit.GetCause() == "" {
		exit.Cause = string(sandbox.CausePids)
		what := fmt.Sprintf("a process could not be started, %d times: the sandbox has its limit of tasks", refusals)
		exit.Evidence = together(what, exit.GetEvidence())
	}
}

// together joins what was seen.
func together(evidence ...string) string {
	var seen []string
	for _, e := range evidence {
		if e != "" {
			seen = append(seen, e)
		}
	}
	return strings.Join(seen, "; ")
}
