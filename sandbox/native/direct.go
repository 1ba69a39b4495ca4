//go:build linux

package native

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
	"github.com/sandwarden/sandwarden/sandbox/native/cgroup"
)

// Most sessions only run code, and most code ends soon. So the daemon speaks with a
// forked kernel by itself, and there is no agent in the sandbox until something else
// is asked for: a command, a file, a signal, code that takes longer, fails, or leaves
// something running. Then the agent starts, and the kernel is handed over to it for good,
// with what it was asked for and has said.
//
// What a kernel says is its tenant's word, as what an agent says is.

// A direct is a kernel that the daemon speaks with by itself.
type direct struct {
	forked  <-chan struct{} // closed when the zygote has done what it can
	over    chan struct{}   // closed when the agent has the kernel
	outputs int             // descriptor of stdout in the sandbox's PID 1; that of stderr follows

	mu      sync.Mutex // held by a run, and while the kernel is handed over
	control *os.File
	file    *quick.File
	heard   []byte // of the kernel, and not understood yet
	ready   bool
	pid     int  // on the host
	inside  int  // in the sandbox; set before forked is closed
	bound   bool // it has what its session has
	runs    int
	last    uint64           // number of the newest frame
	known   []sandbox.ExecID // the newest that are over
	left    bool             // to a later daemon

	pipes [2]int            // reading ends of stdout and stderr; see tasks
	tasks *cgroup.WorkTasks // nil, as pipes are not there, while nothing has run for a moment
}

// newDirect speaks over a copy of the agent's end of the control channel.
func newDirect(k *kernelEnds, outputs int) (*direct, error) {
	fd, err := unix.FcntlInt(k.agent[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	d := &direct{over: make(chan struct{}), outputs: outputs, control: os.NewFile(uintptr(fd), "kernel")}
	if d.file, err = quick.NewFile(d.control); err != nil {
		return nil, errors.Join(err, d.control.Close())
	}
	return d, nil
}

// isOver reports whether there is an agent to ask. It may be nil: then there always was.
func (d *direct) isOver() bool {
	if d == nil {
		return true
	}
	select {
	case <-d.over:
		return true
	default:
		return false
	}
}

// await waits until the kernel is ready, and tells whether it is.
func (d *direct) await(ctx context.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(directStart)
	}
	return d.greet(until) == nil
}

// canBeLate tells whether sandboxes can do without an agent at first: the files of PID 1
// must be to be had, and the tasks of a sandbox counted.
func (b *Backend) canBeLate(x *box) bool {
	if b.cgroups == nil || !b.cgroups.CountsTasks() {
		return false
	}
	fd, err := x.grab(0)
	if err != nil {
		return false
	}
	return unix.Close(fd) == nil
}

// grab returns a copy of a descriptor of PID 1.
func (x *box) grab(fd int) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process == nil {
		return -1, unix.ESRCH
	}
	ours, err := unix.PidfdGetfd(x.pidfd, fd, 0)
	return ours, os.NewSyscallError("pidfd_getfd", err)
}

// greet waits until the kernel is ready, at most until a time. Its first words tell who it
// is, before any code of its tenant has run.
func (d *direct) greet(until time.Time) error {
	if d.ready {
		return nil
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-d.forked:
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
	if err := d.control.SetReadDeadline(until); err != nil {
		return err
	}
	if d.pid == 0 {
		from, said, err := readHello(d.control)
		if err != nil {
			return err
		}
		tenantFirst(from)
		d.pid, d.heard = from, said
	}
	m, err := d.next(until)
	if err != nil {
		return err
	}
	if m.Ready == nil {
		return errUnforeseen
	}
	d.understood()
	d.ready = true
	return nil
}

// readHello reads what comes first on a socket, and the process that sent it.
func readHello(f *os.File) (pid int, first []byte, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	first = make([]byte, longestWord)
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	var n, oobn int
	readErr := raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, err = unix.Recvmsg(int(fd), first, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err := errors.Join(readErr, err); err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || n == 0 || len(messages) == 0 {
		return 0, nil, io.EOF
	}
	from, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil || from.Pid <= 1 {
		return 0, nil, io.EOF
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 0) })
	return int(from.Pid), first[:n], nil
}

// tenantFirst makes the kernel of the host's last resort choose the process before ours;
// see the function of this name of the agent.
func tenantFirst(pid int) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it has ended already
	}
	_, _ = unix.Write(fd, []byte("500"))
	_ = unix.Close(fd)
}

// longestWord is how much of a kernel's is read here, in bytes: a message that is longer
// is for the agent.
const longestWord = 4 << 10

// errUnforeseen says that the agent has to see what the kernel has said.
var errUnforeseen = errors.New("the kernel says more than the end of a run")

// understood forgets what was heard.
func (d *direct) understood() { d.heard = d.heard[:0] }

// next waits for the next message, at most until a time. It stays heard until it is
// understood.
func (d *direct) next(until time.Time) (kernel.Message, error) {
	if err := d.control.SetReadDeadline(until); err != nil {
		return kernel.Message{}, err
	}
	for {
		if body, rest, ok := kernel.Cut(d.heard); ok {
			m, err := kernel.Decode(body)
			if err == nil && len(rest) > 0 {
				err = errUnforeseen
			}
			return m, err
		}
		if len(d.heard) >= longestWord {
			return kernel.Message{}, errUnforeseen
		}
		if cap(d.heard) < longestWord {
			d.heard = append(make([]byte, 0, longestWord), d.heard...)
		}
		n, err := d.read(d.heard[len(d.heard):longestWord])
		d.heard = d.heard[:len(d.heard)+n]
		if err != nil {
			return kernel.Message{}, err
		}
	}
}

// read reads what has come, also at the end of the time to wait for it: on a host that is
// busy we may come later than it.
func (d *direct) read(p []byte) (n int, err error) {
	n, err = d.file.Read(p)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	raw, failed := d.control.SyscallConn()
	if failed != nil {
		return 0, failed
	}
	if failed := raw.Control(func(fd uintptr) { n, _ = quick.Read(fd, p) }); failed != nil {
		return 0, failed
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// bind gives the kernel what its session has, once.
func (d *direct) bind(dir string, env []string, until time.Time) error {
	if d.bound {
		return nil
	}
	if kernel.ReadAtStart(sandbox.Python, env) {
		return errUnforeseen
	}
	if dir != "" || len(env) > 0 {
		frame, err := kernel.EncodeBind(dir, env)
		if err != nil {
			return err
		}
		if err := d.control.SetWriteDeadline(until); err != nil {
			return err
		}
		if _, err := d.file.Write(frame); err != nil {
			return err
		}
		m, err := d.next(until)
		if err != nil {
			return err
		}
		if m.Done == nil || m.Done.ID != kernel.BindID || !m.Done.OK {
			return errUnforeseen
		}
		d.understood()
	}
	d.bound = true
	return nil
}

// rest gives back what a kernel holds while it runs something.
func (d *direct) rest() {
	if d == nil || !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	d.shed()
}

// shed does so under the mutex.
func (d *direct) shed() {
	d.heard = nil
	if d.tasks == nil {
		return
	}
	for _, fd := range d.pipes {
		_ = unix.Close(fd)
	}
	_ = d.tasks.Close()
	d.tasks = nil
}

// drop gives back all, as the sandbox has ended.
func (d *direct) drop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shed()
	_ = d.control.Close()
}

// reach returns whom to ask for whatever is not code: the agent, which is started when it
// was not needed until now.
func (x *box) reach(ctx context.Context, op string) (*agent.Client, error) {
	if x.direct.isOver() {
		return x.client.Load(), nil
	}
	x.direct.mu.Lock()
	defer x.direct.mu.Unlock()
	client, err := x.handOver(ctx, false)
	if err != nil {
		return nil, x.doubt(x.lostError(op, err))
	}
	return client, nil
}

// lostError says that the sandbox's agent could not be started, or why it is not there.
func (x *box) lostError(op string, err error) error {
	if dead := x.alive(op); dead != nil {
		return dead
	}
	return &sandbox.Error{Op: op, ID: string(x.id), Kind: sandbox.Stopped, Cause: sandbox.CauseAgentLost, Detail: "the sandbox's agent cannot be reached", Err: err}
}

// handOver starts the agent and gives it the kernel, if that was not done. It is called
// with the mutex of direct held, and not given up with the caller. begun: a run goes on.
func (x *box) handOver(ctx context.Context, begun bool) (*agent.Client, error) {
	d := x.direct
	if d.isOver() {
		return x.client.Load(), nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.backend.opts.ConnectTimeout)
	defer cancel()
	h := agent.Handover{After: d.last, Begun: begun, Frames: x.reading.handOver(), Known: d.known}
	if len(h.Frames) > 0 {
		h.After = h.Frames[0].Seq - 1
	}
	if until, _ := ctx.Deadline(); d.greet(until) == nil {
		h.PID, h.Fresh, h.Runs, h.Heard = d.inside, !d.bound, d.runs, d.heard
	}
	if err := x.connect(ctx); err != nil {
		return nil, err
	}
	client := x.client.Load()
	if err := client.Take(ctx, h); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	d.shed()
	_ = d.control.Close()
	close(d.over)
	x.reading.stir()
	return client, nil
}

// letGo leaves a sandbox to a later daemon, with all that was not put away.
func (x *box) letGo(ctx context.Context) error {
	if x.direct.isOver() {
		return nil
	}
	x.direct.mu.Lock()
	defer x.direct.mu.Unlock()
	x.direct.left = true
	if len(x.reading.handOver()) == 0 || x.isEnding() {
		return nil
	}
	_, err := x.handOver(ctx, false)
	return err
}

// leaveDirect has the agent take over, in the background.
func (x *box) leaveDirect(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)                              // it has a limit of its own
	x.backend.burials.Go(func() { _, _ = x.reach(ctx, "start") }) // who needs it next is told
}

// outputsAt is where the agent has stdout of the kernel that is given to it.
func (g *gifts) outputsAt() int {
	at := boot.FirstFD + len(g.joins) + 1
	if g.folder != nil {
		at++
	}
	return at
}
