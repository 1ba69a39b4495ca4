package actors

import (
	"fmt"

	"github.com/sandwarden/sandwarden/sandbox"
)

// What a frame may hold at most. An agent of ours sends no more of the first
// three, so more of them is the work of somebody else.
const (
	maxData     = 64 << 10
	maxMIME     = 256
	maxName     = 4 << 10
	maxMessage  = 16 << 10
	maxResult   = 64 << 10
	maxEvidence = 1 << 10
)

// checked returns what is wrong with a frame that an honest agent cannot have
// sent: the sandbox is not to be believed from here on.
func checked(f *sandbox.Frame, after uint64) error {
	if f.Seq != after+1 {
		return fmt.Errorf("frame %d follows frame %d", f.Seq, after)
	}
	if f.Exit != nil {
		return nil
	}
	limit := maxData
	switch f.Stream {
	case sandbox.Stdout, sandbox.Stderr:
	case sandbox.Display:
		limit = sandbox.MaxDisplay
	default:
		return fmt.Errorf("frame %d is of stream %.20q", f.Seq, f.Stream)
	}
	if len(f.Data) > limit || len(f.MIME) > maxMIME {
		return fmt.Errorf("frame %d has %d bytes of %.20q", f.Seq, len(f.Data), f.MIME)
	}
	return nil
}

// bounded is an exit as a sandbox reports it, cut to what we keep.
func bounded(exit sandbox.Exit) sandbox.Exit {
	exit.Cause = known(exit.Cause)
	exit.Evidence = head(exit.Evidence, maxEvidence)
	exit.Result = head(exit.Result, maxResult)
	exit.Dropped = max(0, exit.Dropped)
	exit.Duration = max(0, exit.Duration)
	exit.CPU = max(0, exit.CPU)
	exit.PeakBytes = max(0, exit.PeakBytes)
	if exit.Failure != nil {
		exit.Failure = &sandbox.Failure{
			Name:    head(exit.Failure.Name, maxName),
			Message: head(exit.Failure.Message, maxMessage),
		}
	}
	return exit
}

// known is a cause that is one of ours; one that nobody knows is a crash.
func known(cause sandbox.Cause) sandbox.Cause {
	switch cause {
	case sandbox.CauseNone, sandbox.CauseOOM, sandbox.CauseWallTimeout, sandbox.CauseCPUTimeout, sandbox.CausePids,
		sandbox.CauseDisk, sandbox.CauseSeccomp, sandbox.CauseEvicted, sandbox.CauseIdle, sandbox.CauseCrashed,
		sandbox.CauseKilled, sandbox.CauseShutdown, sandbox.CauseAgentLost, sandbox.CauseHostMemory, sandbox.CauseExpired:
		return cause
	}
	return sandbox.CauseCrashed
}
