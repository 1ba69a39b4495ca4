//go:build linux

package native

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// longestWord is how much of a kernel's is read here, in bytes: a message that is longer
// is for the agent.
const longestWord = kernel.LongestHello

// errUnforeseen says that an agent is needed.
var errUnforeseen = errors.New("the kernel is asked for, or says, more than a plain run")

// greet waits until the kernel is ready, at most until a time or until its files end, as
// where it could not be forked. Its first words tell who it is, before any code of its
// tenant has run.
func (d *direct) greet(x *box, until time.Time) error {
	if d.ready {
		return nil
	}
	if err := d.control.SetReadDeadline(until); err != nil {
		return err
	}
	if d.pid == 0 {
		pid, said, err := kernel.Hello(d.control)
		if err != nil {
			return err
		}
		x.tenantFirst(pid)
		d.pid, d.heard = pid, said
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

// tenantFirst makes the kernel of the host's last resort choose the tenant's process before
// ours; see the function of this name of the agent. While PID 1 is there, which waits for
// nobody, the number is no other process's.
func (x *box) tenantFirst(pid int) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // it has ended already
	}
	defer func() { _ = unix.Close(fd) }()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process != nil {
		_, _ = unix.Write(fd, []byte("500"))
	}
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
		if _, err := d.say(frame, until); err != nil {
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

// say sends a frame, wholly or, when it says so, not at all. Half of one breaks the kernel.
func (d *direct) say(frame []byte, until time.Time) (sent bool, err error) {
	if len(frame) > longestCode {
		return false, errUnforeseen
	}
	if err := d.control.SetWriteDeadline(until); err != nil {
		return false, err
	}
	n, err := d.file.Write(frame)
	d.broken = d.broken || n > 0 && n < len(frame)
	return n == len(frame), err
}

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
