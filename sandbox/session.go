package sandbox

import (
	"context"
	"time"
)

// A SessionRequest asks for a session.
type SessionRequest struct {
	Owner    Principal
	Session  string // the caller's name for it; empty lets us choose
	Template string // empty is the default
	Flavor   string // empty is the default
	CPUs     int    // whole processors, instead of the flavor's; 0 is those
	MemoryMB int    // MiB, instead of the flavor's; 0 is that
	Env      []string

	Dir         string            // working directory of its executions; empty is /work
	IdleTimeout time.Duration     // after which it ends when nobody uses it; 0 is the default
	MaxAge      time.Duration     // after which it ends in any case; 0 is never
	Labels      map[string]string // of the caller, to find it by
}

// Ref is the session that is asked for.
func (r *SessionRequest) Ref() Ref { return Ref{r.Owner, r.Session} }

// An ExecRequest asks for one execution in a session, which is made when it
// does not exist.
type ExecRequest struct {
	SessionRequest
	Code    string // exactly one of Code and Argv is set
	Argv    []string
	Dir     string
	Vars    []string      // "K=V", of a command alone
	Timeout time.Duration // of the run, counted from its start; 0 is the default

	Key        string // idempotency key: it runs once in a session, whoever asks how often
	Background bool   // what a command leaves behind may outlive it
	Stdin      bool   // a command's stdin stays open for WriteStdin
	// Detached work goes on when ctx of the call ends, and through a restart of
	// the daemon. Work with a key or in the background is always detached.
	Detached bool
	// Patience is how long Execute waits, from the call on, before it returns
	// with the result of work that still runs; 0 waits to the end.
	Patience time.Duration

	// Follow, when set, is called with each piece of output in order while the
	// work runs, all of it, by the goroutine that called Execute. A slow Follow
	// delays nothing but this call's own end.
	Follow func(Stream, []byte)
	// Accepted, when set, is called once before the first Follow, when the
	// session is known.
	Accepted func(Session, ExecID)
}

// An ExecResult is what became of an execution.
type ExecResult struct {
	Exec    ExecID
	Session Session
	Created bool // this call made the session
	Stdout  []byte
	Stderr  []byte
	Rich    []Rich
	Exit    Exit
	Hint    string        // one line on why it failed and what to do; empty mostly
	Waited  time.Duration // before the run began

	Status   ExecStatus // queued or running after an early return, which has no Exit
	Cursor   int64      // bytes of output up to here: where ReadOutput goes on
	Omitted  int64      // bytes of output that are kept, and too many to be in here
	Replayed bool       // an earlier call with the same key ran it
}

// Over reports whether the execution has ended.
func (r *ExecResult) Over() bool { return r.Status.Over() }

// Truncated reports whether there was more output than is in the result.
func (r *ExecResult) Truncated() bool { return r.Exit.Dropped > 0 || r.Omitted > 0 }

// A Rich is a rich result: a figure, a table.
type Rich struct {
	MIME string
	Data []byte
}

// A Session is what can be told of a session.
type Session struct {
	Owner      Principal
	Name       string // the caller's
	Sandbox    ID     // its present sandbox
	Template   Template
	Flavor     Flavor
	Status     Status
	Created    time.Time
	LastUsed   time.Time
	Running    int      // executions that run or wait
	Restarts   int      // fresh sandboxes that it was given
	Frozen     bool     // what it has running is paused, until it is used again
	Usage      *Stats   // of its sandbox now; nil when nobody asked, or it cannot be told
	Unenforced []string // limits that are not in force for it
	Previous   *Ended   // the session of this name that ended within the hour

	Dir         string            // working directory of its executions; empty is /work
	Labels      map[string]string // of the caller; not to be changed
	IdleTimeout time.Duration     // after which it ends when nobody uses it
	Expires     time.Time         // when it ends in any case; zero is never
}

// An Ended is what is left of a session that ended.
type Ended struct {
	At    time.Time
	Cause Cause
}

// A Status is what a session is doing.
type Status string

// The statuses, as the wire has them.
const (
	StatusCreating Status = "creating"
	StatusReady    Status = "ready"
	StatusRunning  Status = "running"
	StatusError    Status = "error"
	StatusStopped  Status = "stopped"
	StatusWaiting  Status = "waiting" // for admission; of an Overview alone
	StatusEnding   Status = "ending"  // of an Overview alone
)

// An EventType is what happened.
type EventType string

// The types of events. Lifecycle events are published by the session's actor
// alone; output by what reads its sandbox.
const (
	SessionReady      EventType = "session.ready"
	SessionRestarted  EventType = "session.restarted"
	SessionStopped    EventType = "session.stopped"
	ExecutionStarted  EventType = "execution.started"
	ExecutionFinished EventType = "execution.finished"
	Output            EventType = "output"
	Gap               EventType = "gap"
)

// An Event is something that happened in a session. It never changes once it
// is published.
type Event struct {
	Seq       uint64 // of the log that it is read from; strictly rising
	Time      time.Time
	Type      EventType
	Session   string
	Exec      ExecID
	Stream    Stream // of Output
	MIME      string // of Output on Display
	Data      []byte // of Output; text streams never split a character that is one
	Exit      *Exit  // of ExecutionFinished
	Cause     Cause  // of SessionRestarted and SessionStopped
	Evidence  string
	StateLost bool   // of SessionRestarted: variables are gone
	FilesLost bool   // of SessionRestarted: the sandbox is a fresh one
	From, To  uint64 // of Gap: the sequence numbers that are no longer kept
}

// A Subscription reads a log of events with a cursor of its own. It is for one
// goroutine, holds nothing, and needs no closing.
type Subscription interface {
	// Next waits for events after the cursor and returns some, at most 256. If
	// some were lost, a Gap comes first. io.EOF: the log ended; else the error
	// of ctx.
	Next(ctx context.Context) ([]Event, error)
}

// A PoolStat is what a backend that makes sandboxes before they are asked for
// has of one template. The counts only grow as long as the backend lives.
type PoolStat struct {
	Template string
	Ready    int    // sandboxes that nobody has yet
	Target   int    // how many there are to be, as often as they are asked for now
	Hits     uint64 // sessions that got a ready one
	Misses   uint64 // sessions that had to wait for one to be made
	Failed   uint64 // makings ahead that went wrong
}

// An Overview is what can be told of the daemon as a whole.
type Overview struct {
	Sessions    int            // those that are being made or ended included
	MaxSessions int            // allowed
	MemoryMB    int64          // the sum of the flavors
	MaxMemoryMB int64          // allowed; 0 when flavors are ceilings and the host's memory decides
	CPUs        int            // the sum of the flavors
	MaxCPUs     int            // allowed; 0 for no limit
	Waiting     int            // sessions that wait to be admitted
	States      map[Status]int // sessions that are made, used, ended or waited for
	Frozen      int            // sessions whose sandboxes are frozen
	// Bytes; 0 where it is not known.
	HostTotal, HostAvailable int64 // memory of the host, or of the container that the daemon is in
	Used, UsedMax            int64 // memory of all sandboxes together, and its limit
	Backend                  string
	Ready                    error // why no sandbox can be made; nil when they can
	Capabilities             Capabilities
}
