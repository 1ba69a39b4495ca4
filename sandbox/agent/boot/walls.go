package boot

// Walls are what the program that builds them has to know. It starts once for each
// sandbox, so they are not JSON: to make that ready to be read takes a Go program 0.3 ms.
type Walls struct {
	Hostname   string
	UID, GID   int
	UserNS     bool     // there is a user namespace around us: no device may be made
	DiskBytes  int64    // of /work, /tmp and /dev/shm together
	Inodes     int      // of them together
	Processes  uint64   // RLIMIT_NPROC; 0 leaves it
	Filter     []byte   // seccomp program
	Volumes    []Volume // of the host, that the sandbox sees
	JoinMode   Join     // how children get into the cgroup `work`
	JoinFiles  int      // how many descriptors from FirstFD on are for joining
	WorkFolder bool     // the descriptor after them is the folder for cgroups of executions
	Forked     bool     // the KernelFiles after it are our ends of a kernel that the daemon has forked
	AgentFiles int      // how many descriptors after them are for joining the agent's own cgroups
	Late       bool     // the agent starts when the daemon connects to it, which then hands over the kernel
	Zygote     []string // what a zygote becomes: an interpreter, and its arguments
	ZygoteEnv  []string // and its environment
}

// DecodeWalls reads the walls of an encoded [Config].
func DecodeWalls(data []byte) (Walls, error) {
	var w Walls
	_, err := w.decode(data)
	return w, err
}

func (w *Walls) encode() []byte {
	var c codec
	w.each(&c)
	return c.data
}

// decode returns what follows.
func (w *Walls) decode(data []byte) (rest []byte, err error) {
	c := codec{data: data, reads: true}
	w.each(&c)
	return c.data, c.err
}

// each passes all fields, to be read or written.
func (w *Walls) each(c *codec) {
	text(c, &w.Hostname)
	number(c, &w.UID)
	number(c, &w.GID)
	c.flag(&w.UserNS)
	number(c, &w.DiskBytes)
	number(c, &w.Inodes)
	number(c, &w.Processes)
	text(c, &w.Filter)
	list(c, &w.Volumes, (*Volume).each)
	text(c, &w.JoinMode)
	number(c, &w.JoinFiles)
	c.flag(&w.WorkFolder)
	c.flag(&w.Forked)
	number(c, &w.AgentFiles)
	c.flag(&w.Late)
	list(c, &w.Zygote, word)
	list(c, &w.ZygoteEnv, word)
}

func (v *Volume) each(c *codec) {
	text(c, &v.Source)
	text(c, &v.Target)
	c.flag(&v.ReadOnly)
	c.flag(&v.Mapped)
	number(c, &v.UID)
	number(c, &v.GID)
}

func word(p *string, c *codec) { text(c, p) }
