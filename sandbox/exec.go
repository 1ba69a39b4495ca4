package sandbox

import "time"

// An ExecID names one execution. The daemon chooses it, and never twice.
type ExecID string

// An Exec is one execution to start: a piece of code for the sandbox's kernel,
// or a command. Exactly one of Code and Argv is set.
type Exec struct {
	ID          ExecID
	Request     string // id of the request that it is for, as logs have it; may be empty
	Code        string
	Argv        []string
	Env         []string      // "K=V", for a command only
	Dir         string        // working directory of a command, or of a kernel that this starts; empty is /work
	Stdin       bool          // a command's stdin stays open for WriteStdin
	Background  bool          // its descendants may outlive it
	Deadline    time.Duration // CLOCK_BOOTTIME at which it is interrupted; 0 is never
	CPU         time.Duration // processor time that it may use; 0 is no limit
	OutputLimit int64         // bytes kept of stdout and stderr together; what is beyond is counted
	Again       bool          `json:"-"` // an earlier daemon may have begun it; not kept
}

// A Signal is what can be sent to an execution.
type Signal string

// The signals. Interrupt lets a kernel keep its state.
const (
	Interrupt Signal = "interrupt"
	Terminate Signal = "terminate"
	Kill      Signal = "kill"
)

// A Stream tags bytes of an execution.
type Stream string

// The streams. Display carries rich results: one whole item a frame.
const (
	Stdout  Stream = "stdout"
	Stderr  Stream = "stderr"
	Display Stream = "display"
)

// A Frame is a piece of what a sandbox puts out. Frames of one sandbox have
// one order. What comes in Data is hostile.
type Frame struct {
	Seq    uint64 // from 1, without holes
	Exec   ExecID // empty when the writer outlived its execution
	Stream Stream
	MIME   string // of a Display frame
	Data   []byte // at most 64 KiB, or one Display item
	Exit   *Exit  // set on the last frame of an execution, which has no Data
}

// MaxDisplay is the size in bytes of the largest rich result that is kept.
const MaxDisplay = 512 << 10

// An Exit is how an execution ended.
type Exit struct {
	Code      int    // exit status; 128 + n for a signal; for code 0 or 1
	Cause     Cause  // why it was ended, when it did not end by itself
	Evidence  string // what was seen, with Cause
	StateLost bool   // the kernel was lost with its variables
	Result    string // repr of the last expression; empty when there is none
	Failure   *Failure
	Dropped   int64 // bytes of output beyond the limit
	Duration  time.Duration
	CPU       time.Duration // user and system
	PeakBytes int64         // largest resident size of a process; 0 when unknown
}

// A Failure is an error that code raised and did not catch.
type Failure struct {
	Name    string // "ZeroDivisionError", "TypeError", …
	Message string
}

// An ExecState is what a sandbox knows of one execution.
type ExecState struct {
	ID      ExecID
	Running bool
}
