package sandbox

import (
	"context"
	"time"
)

// An ID names one sandbox. It is never used again, also not by a later daemon.
type ID string

// A Backend makes sandboxes by one technique. Its methods may be called from
// many goroutines; they block, honour ctx, and leave nothing behind when they
// fail. Errors are *Error.
type Backend interface {
	// Name is the technique's name, as the configuration spells it.
	Name() string
	// Ready returns nil, or why no sandbox can be made here: an Error of Kind
	// Unavailable whose Detail and Remedy are fit for a client.
	Ready() error
	// Create makes a sandbox. Kinds: Invalid for a spec that cannot be,
	// Unavailable, Exhausted when the host has run out of something.
	Create(ctx context.Context, id ID, spec Spec) (Sandbox, error)
	// Adopt takes over a sandbox that an earlier daemon made and left. An error
	// says why there is none any more: what was left of it is given back. Its Cause
	// is that of the sandbox's death, and its Kind Stopped, or NotFound when
	// nothing is known of it.
	Adopt(ctx context.Context, id ID) (Sandbox, error)
	// List returns the sandboxes that the backend's records name.
	List(ctx context.Context) ([]ID, error)
	// Capabilities says what this backend does on this host.
	Capabilities() Capabilities
	// Close gives back what the backend itself holds. Sandboxes are destroyed
	// before; those that are left stay.
	Close(ctx context.Context) error
}

// A Sandbox is one isolated place. Its methods may be called from many
// goroutines. After its death they fail with Kind Stopped, but for Destroy.
type Sandbox interface {
	ID() ID
	// Start begins an execution and returns when it is under way. It is
	// idempotent by x.ID. Kinds: Invalid, Exhausted (the kernel is busy, too
	// many processes), Stopped; NotFound with cause agent_lost when x comes again
	// and nobody knows whether it was begun: it is not begun then.
	Start(ctx context.Context, x Exec) error
	// Follow waits until there are frames after the given sequence number, at
	// most until the wait is over, and returns some of them in order. It
	// acknowledges all frames up to after: they may be forgotten. One caller
	// at a time.
	Follow(ctx context.Context, after uint64, wait time.Duration) ([]Frame, error)
	// Signal sends a signal to an execution. One that has ended is no error.
	Signal(ctx context.Context, x ExecID, s Signal) error
	// WriteStdin writes what fits now at the offset, and returns how much that
	// was. A nil data closes the execution's stdin.
	WriteStdin(ctx context.Context, x ExecID, offset uint64, data []byte) (int, error)
	// Transfer begins an operation on files. The end of ctx ends it.
	Transfer(ctx context.Context, r FileRequest) (Transfer, error)
	// Executions returns what the sandbox knows of its executions: those that
	// run, and those whose last frame is not acknowledged.
	Executions(ctx context.Context) ([]ExecState, error)
	// Stats returns what the sandbox uses now.
	Stats(ctx context.Context) (Stats, error)
	// Dead is closed when the sandbox has died, by itself or by Destroy.
	Dead() <-chan struct{}
	// Death says why. It is meaningful once Dead is closed.
	Death() Death
	// Destroy ends everything inside and gives back what the sandbox held. It
	// returns when nothing is left. It may be called again after a failure.
	Destroy(ctx context.Context) error
}

// A Freezer is a Sandbox that can be paused. Whatever is asked of it thaws it
// first, so that a caller sees nothing of that but a moment.
type Freezer interface {
	// Freeze stops what the tenant has running where it stands. Kinds: Exhausted
	// when something is under way there, or begins meanwhile; Unsupported.
	Freeze(ctx context.Context) error
	// Thaw lets it go on. It is no error when it was not frozen.
	Thaw(ctx context.Context) error
	// Frozen tells whether it is paused now. It does not block.
	Frozen() bool
	// Reclaim takes back what memory the sandbox can go without, and returns how
	// many bytes that was. Kind Unsupported when the host cannot.
	Reclaim(ctx context.Context) (int64, error)
}

// A Spec is what a sandbox is to be.
type Spec struct {
	Owner    Principal // whose session it is for; never shown inside
	Session  string    // the caller's name for it; shown inside as the host name where it fits
	Template Template  // what is inside
	Flavor   Flavor    // how much it may use
	Env      []string  // "K=V", added to the template's
}

// Ref is the session that the sandbox is for.
func (s *Spec) Ref() Ref { return Ref{s.Owner, s.Session} }

// A Template names what is inside a sandbox and which kernel runs its code.
type Template struct {
	Name     string // "python", "node", "bash", or a configured name
	Language Language
}

// A Language is what a kernel understands.
type Language string

// The languages that have kernels.
const (
	Python Language = "python"
	Node   Language = "node"
	Bash   Language = "bash"
)

// Templates returns the built-in templates, made of the host's own files.
func Templates() []Template {
	return []Template{{"python", Python}, {"node", Node}, {"bash", Bash}}
}

// A Flavor is how much a sandbox may use.
type Flavor struct {
	Name     string
	CPUs     int    // whole processors
	MemoryMB int    // MiB, tmpfs pages included, no swap
	Pids     int    // tasks
	DiskMB   int    // MiB of files that can be written
	Inodes   int    // files that can be written
	Capped   string // what the host could not give in full, for people; "" when nothing
}

// Flavors returns the built-in flavors, smallest first.
func Flavors() []Flavor {
	return []Flavor{
		{Name: "small", CPUs: 1, MemoryMB: 1024, Pids: 256, DiskMB: 512, Inodes: 65536},
		{Name: "medium", CPUs: 2, MemoryMB: 2048, Pids: 512, DiskMB: 1024, Inodes: 131072},
		{Name: "large", CPUs: 4, MemoryMB: 4096, Pids: 1024, DiskMB: 2048, Inodes: 262144},
	}
}

// A Volume is a folder of the host that every sandbox of a backend sees.
type Volume struct {
	HostPath string // as the operator wrote it; a relative one begins at the daemon's working directory
	Path     string // where it is inside: absolute, and clean as of path.Clean
	Access   Access // that was asked for
}

// An Access is what a sandbox may do in a volume.
type Access string

// The accesses. Without one a sandbox writes where the file system of the host
// lets the volume be its own, and else reads.
const (
	AccessAny Access = ""
	ReadOnly  Access = "ro"
	ReadWrite Access = "rw" // or the daemon does not start
)

// A VolumeStatus says how a volume is mapped here.
type VolumeStatus struct {
	Volume   Volume
	ReadOnly bool
	Reason   string // why it is read-only, for people, where that was not asked for
}

// Capabilities says what a backend does on this host.
type Capabilities struct {
	Isolation  string   // "process", "gvisor" or "microvm"
	Enforced   []string // limits and barriers in force: "memory", "pids", "cpu", "uid", …
	Unenforced []string // those that this host or user cannot have
	Freeze     bool     // its sandboxes are a Freezer, and this host can
	Survives   bool     // sandboxes outlive the daemon, and Adopt takes them over
	Templates  []TemplateStatus
	Volumes    []VolumeStatus
}

// A TemplateStatus says whether a template can be used here.
type TemplateStatus struct {
	Template Template
	Version  string // of the interpreter, as it reports it
	Err      error  // why it cannot be used: an Error of Kind Unavailable
}

// Stats is what a sandbox uses.
type Stats struct {
	MemoryBytes int64 // all of it, kernel memory included where that is known; -1 when nobody counts
	CPU         time.Duration
	Tasks       int
	DiskBytes   int64 // of files that can be written; -1 when nobody counts
}

// A Death says why a sandbox died.
type Death struct {
	Cause    Cause
	Evidence string // what was seen: a counter, a signal
}

// A Cause is why work or a sandbox died.
type Cause string

// The causes of death.
const (
	CauseNone        Cause = ""
	CauseOOM         Cause = "oom"            // over the flavor's memory
	CauseWallTimeout Cause = "wall_timeout"   // the execution's timeout
	CauseCPUTimeout  Cause = "cpu_timeout"    // a limit on processor time
	CausePids        Cause = "pids"           // over the flavor's tasks
	CauseDisk        Cause = "disk"           // over the flavor's files
	CauseSeccomp     Cause = "seccomp"        // a forbidden system call
	CauseEvicted     Cause = "evicted"        // made room for another session
	CauseIdle        Cause = "idle"           // unused for too long
	CauseCrashed     Cause = "crashed"        // ended by itself
	CauseKilled      Cause = "killed_by_user" // stopped on request
	CauseShutdown    Cause = "shutdown"       // the daemon is stopping
	CauseAgentLost   Cause = "agent_lost"     // the agent inside died or went silent
	CauseHostMemory  Cause = "host_memory"    // the host ran short, not the flavor
	CauseExpired     Cause = "expired"        // its session reached its greatest age
)
