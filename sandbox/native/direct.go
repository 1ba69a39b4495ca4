//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
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
	turn    chan struct{}   // held by a run, and while the kernel is handed over; what follows is its

	control *os.File
	file    *quick.File
	heard   []byte // of the kernel, and not understood yet
	pid     int    // on the host; 0 until it has said who it is
	inside  int    // in the sandbox, set before forked is closed; 0: it was not forked, or nobody knows
	ready   bool
	bound   bool // it has what its session has
	broken  bool // it has heard half of something
	left    bool // it is a later daemon's
	runs    int
	last    uint64           // number of the newest frame
	known   []sandbox.ExecID // the newest that are over
	watch   *watch           // nil while nothing has run for a moment
}

// mostWatches is how many sessions keep their watches for a moment after a run: each has
// four descriptors, of which the daemon has only so many. The others give theirs back at
// once, which costs their next run some 30 µs.
const mostWatches = 128

// A watch is what is looked at while a kernel runs something.
type watch struct {
	all   *atomic.Int64 // watches that are open
	pipes [2]int        // reading ends of stdout and stderr
	room  int           // where files may be written
	tasks *cgroup.TaskCount
}

// newDirect speaks over a copy of the agent's end of the control channel.
func newDirect(k *kernelEnds, outputs int) (*direct, error) {
	fd, err := unix.FcntlInt(k.agent[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	d := &direct{over: make(chan struct{}), turn: make(chan struct{}, 1), outputs: outputs, control: os.NewFile(uintptr(fd), "kernel")}
	if d.file, err = quick.NewFile(d.control); err != nil {
		return nil, errors.Join(err, d.control.Close())
	}
	return d, nil
}

// outputsAt is where PID 1 has stdout of the kernel.
func (g *gifts) outputsAt() int {
	at := boot.FirstFD + len(g.joins) + 1
	if g.folder != nil {
		at++
	}
	return at
}

// canBeLate tells whether sandboxes can do without an agent at first: the files of PID 1
// must be to be had, the namespace of its socket be to be entered, and the tasks of a sandbox
// counted.
func (b *Backend) canBeLate(x *box) bool {
	if !b.canPause || b.room.space < 0 || b.cgroups == nil || !b.cgroups.CountsTasks() {
		return false
	}
	socket, err := x.grab(boot.SocketFD)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(socket) }()
	fd, err := b.room.beside(socket)
	if err != nil {
		return false
	}
	return unix.Close(fd) == nil
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

// take waits for the turn, which leave gives back.
func (d *direct) take(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *direct) leave() { <-d.turn }

// open opens what is to be looked at before something runs.
func (d *direct) open(x *box) (err error) {
	if d.watch != nil {
		return nil
	}
	w := &watch{all: &x.backend.watches, pipes: [2]int{-1, -1}, room: -1}
	w.all.Add(1)
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for i := range w.pipes {
		if w.pipes[i], err = x.grab(d.outputs + i); err != nil {
			return err
		}
	}
	d.watch = w
	return nil
}

// openRest opens what is to be looked at after that, which takes a while.
func (w *watch) openRest(x *box) (err error) {
	if w.room < 0 {
		if w.room, err = x.openRoom(); err != nil {
			return err
		}
	}
	if w.tasks == nil {
		w.tasks, err = x.cgroup.TaskCount()
	}
	return err
}

func (w *watch) close() {
	w.all.Add(-1)
	for _, fd := range []int{w.pipes[0], w.pipes[1], w.room} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	if w.tasks != nil {
		_ = w.tasks.Close()
	}
}

// leavesMore tells whether more than an idle kernel is left, or cannot tell.
func (w *watch) leavesMore() bool {
	if w.tasks == nil {
		return true
	}
	n, err := w.tasks.Read()
	return err != nil || n > 1
}

// isFull tells whether no more files, or no more of them, can be written.
func (w *watch) isFull() bool {
	st, err := quick.Statfs(uintptr(w.room))
	return err != nil || st.Blocks > 0 && st.Bavail == 0 || st.Files > 0 && st.Ffree == 0
}

// grab returns a copy of a descriptor of PID 1.
func (x *box) grab(fd int) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process == nil {
		return -1, unix.ESRCH
	}
	ours, err := unix.PidfdGetfd(x.pidfd, fd, 0)
	if err != nil {
		return -1, os.NewSyscallError("pidfd_getfd", err)
	}
	return ours, nil
}

// openRoom opens the folder that [box.diskBytes] looks at.
func (x *box) openRoom() (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process == nil {
		return -1, unix.ESRCH
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/root/work", x.record.PID), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	return fd, nil
}

// await waits until the kernel is ready, and tells whether it is. Nobody forks it any more
// then.
func (d *direct) await(ctx context.Context, x *box) bool {
	if d.take(ctx) != nil {
		return false
	}
	defer d.leave()
	defer d.shed()
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(directStart)
	}
	err := d.greet(x, until)
	<-d.forked // which has its limits
	return err == nil
}

// rest gives back what is held while something runs.
func (d *direct) rest() {
	if d == nil {
		return
	}
	select {
	case d.turn <- struct{}{}:
		defer d.leave()
		d.shed()
	default: // something runs
	}
}

// shed does so in a turn.
func (d *direct) shed() {
	if len(d.heard) == 0 {
		d.heard = nil
	}
	if d.watch != nil {
		d.watch.close()
		d.watch = nil
	}
}

// drop gives back all, as the sandbox has ended.
func (d *direct) drop(ctx context.Context) error {
	if d == nil {
		return nil
	}
	if err := d.take(ctx); err != nil {
		return err
	}
	defer d.leave()
	d.shed()
	_ = d.control.Close() // a second time, too
	return nil
}
