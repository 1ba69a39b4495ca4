package sandbox

import "time"

// An Execution is the record of one run of code or of a command. It outlives
// the request that asked for it, and the daemon that ran it.
type Execution struct {
	ID         ExecID
	Owner      Principal
	Session    string // the caller's name for it
	Kind       ExecKind
	Code       string   // of code: its beginning, at most MaxShown bytes
	Argv       []string // of a command: its beginning, likewise
	Background bool
	Stdin      bool   // it takes WriteStdin
	Key        string // idempotency key
	Status     ExecStatus
	Queued     time.Time
	Started    time.Time     // zero until it runs
	Ended      time.Time     // zero until it has ended
	Timeout    time.Duration // of the run
	Exit       *Exit         // nil until it has ended, and when it never ran
	Refused    *Error        // why it never ran
	Output     OutputSize
	Rich       int // rich results that are kept
}

// MaxShown bounds what a record shows of its code or command.
const MaxShown = 1 << 10

// An OutputSize says what there is of an execution's text output, in bytes.
// Offsets count stdout and stderr together, in the order of their writing, with
// what is not kept any more, but without what was dropped as it came.
type OutputSize struct {
	Total  int64 // the offset behind the last byte
	First  int64 // the offset of the first byte that is kept
	Stdout int64 // of Total
	Stderr int64 // of Total
}

// An ExecStatus is how far an execution has come.
type ExecStatus string

// The statuses of executions.
const (
	ExecQueued    ExecStatus = "queued"
	ExecRunning   ExecStatus = "running"
	ExecFinished  ExecStatus = "finished"  // it ended by itself, whatever its exit code
	ExecFailed    ExecStatus = "failed"    // it was ended by a limit, or could not run
	ExecCancelled ExecStatus = "cancelled" // it was ended on request
	ExecLost      ExecStatus = "lost"      // its sandbox died, and the rest of its output with it
)

// Over reports whether an execution with this status has ended.
func (s ExecStatus) Over() bool { return s != ExecQueued && s != ExecRunning }

// StatusOf is the status of an execution that ended so.
func StatusOf(exit *Exit) ExecStatus {
	switch exit.Cause {
	case CauseNone:
		return ExecFinished
	case CauseKilled:
		return ExecCancelled
	case CauseAgentLost, CauseEvicted, CauseIdle, CauseShutdown, CauseExpired:
		return ExecLost
	case CauseOOM, CauseWallTimeout, CauseCPUTimeout, CausePids, CauseDisk, CauseSeccomp, CauseCrashed, CauseHostMemory:
	}
	return ExecFailed
}

// An ExecQuery asks for executions of a session, the newest first.
type ExecQuery struct {
	Ref    Ref
	Status ExecStatus // empty is any
	Limit  int        // 0 is all that are kept
}

// A WaitQuery says what to wait for: the end of an execution or, with After not
// below 0, output beyond that offset.
type WaitQuery struct {
	After int64 // -1 waits for the end alone
	Wait  time.Duration
}

// An OutputQuery asks for a range of an execution's text output.
type OutputQuery struct {
	Stream Stream // Stdout or Stderr alone; empty is both in the order of their writing
	From   int64  // offset in what is asked for; below 0 counts from its end
	Max    int    // bytes; at most MaxOutput, which 0 means too
}

// MaxOutput bounds one page of output, in bytes.
const MaxOutput = 1 << 20

// An OutputPage is a range of an execution's output.
type OutputPage struct {
	Chunks []OutputChunk // neighbours differ in their stream
	From   int64         // offset of the first byte, in what was asked for
	Next   int64         // offset behind the last byte
	End    bool          // the execution has ended, and Next is its end
	// Missing is how many bytes before From were asked for and are not kept.
	Missing int64
}

// An OutputChunk is a piece of one stream. It may begin or end within a
// character where the page does.
type OutputChunk struct {
	Stream Stream
	Data   []byte
}
