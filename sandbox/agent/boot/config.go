package boot

import (
	"encoding/json"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Descriptors of a sandbox's program when it starts. Those of [Walls.JoinFiles]
// follow.
const (
	ConfigFD = 3  // read end of a pipe: the Config, see [Config.Encode]
	SocketFD = 4  // bound unix socket; the agent itself listens, after its drop of rights
	ReadyFD  = 5  // write end of a pipe: WallsWord, then ReadyWord; or the text of what failed
	SelfFD   = 6  // sealed memory file of the agent
	TreeFD   = 7  // mount namespace whose root is the template's tree; gone when the agent runs
	PauseFD  = 8  // sealed memory file of the program that waits for the agent to be needed; likewise
	AliveFD  = 9  // read end of a pipe that ends with the daemon; there until the agent runs
	FirstFD  = 10 // first of the cgroup's descriptors
)

// KernelFiles is how many descriptors there are of a kernel that the daemon has
// forked: the control socket, which tells who sends, and the reading ends of
// stdout and stderr.
const KernelFiles = 3

// Backlog is how many connections may wait for the agent.
const Backlog = 8

// What is written on the ready pipe, in this order.
const (
	WallsWord = "walls" // by who has built them and locked the door: the kernel may come
	ReadyWord = "ready" // by the agent, which serves
)

// A Config tells the program that builds the walls, and the agent that it becomes, what
// to do. It is written by the daemon alone.
type Config struct {
	Walls `json:"-"`

	Secret    []byte        // known to the daemon and to us
	Grace     time.Duration // without a daemon for so long, the sandbox ends itself
	Env       []string      // of kernels and commands
	Kernel    Kernel
	RingBytes int    // unacknowledged output that is kept
	Group     string // below the folder of `work`, of the forked kernel; empty: it has none yet
	Prestart  bool   // the kernel is to be there before it is asked for
}

// A Volume is a folder that the sandbox sees.
type Volume struct {
	Source   string // in the mount namespace that the agent starts in
	Target   string // inside; the template has the folder, unless it is below /work
	ReadOnly bool
	Mapped   bool // the files of UID and GID are the tenant's inside
	UID, GID int
}

// A Kernel says how the sandbox's code is run.
type Kernel struct {
	Language    sandbox.Language
	Interpreter string // path inside the sandbox
	Driver      string // path inside the sandbox
}

// A Join is how a child gets into the cgroup `work`.
type Join string

// The ways to join.
const (
	JoinNone   Join = ""       // there are no cgroups
	JoinThread Join = "thread" // v1: the thread that forks is in `work`
	JoinSelf   Join = "self"   // v2: the child joins by itself before it executes
)

// Encode returns the config as programs read it: the walls, then the rest as JSON.
func (c Config) Encode() ([]byte, error) {
	rest, err := json.Marshal(c)
	return append(c.encode(), rest...), err
}

// DecodeConfig reads what Encode wrote.
func DecodeConfig(data []byte) (Config, error) {
	var c Config
	rest, err := c.decode(data)
	if err == nil {
		err = json.Unmarshal(rest, &c)
	}
	return c, err
}
