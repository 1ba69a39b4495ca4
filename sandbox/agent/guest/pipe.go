//go:build linux

package guest

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// chunk is the most that one frame of output carries.
const chunk = 32 << 10

// A tap reads one pipe of a child and hands what comes to sink, in order, from
// one goroutine that costs no thread. Reading and handing on happen under one
// lock, so that drain can say: what was written before now has been handed on.
type tap struct {
	file   *os.File
	sink   func([]byte)
	mu     sync.Mutex
	closed atomic.Bool   // nobody wants more of it
	done   chan struct{} // closed at the end of the pipe
}

// buffers are shared: an idle pipe holds none.
var buffers = sync.Pool{New: func() any { return new([chunk]byte) }} //nolint:gochecknoglobals // a pool

// openTap makes a pipe whose reading end is tapped. The caller closes the
// other end once the child has it.
func openTap(sink func([]byte)) (*tap, *os.File, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		return nil, nil, err
	}
	return tapFile(os.NewFile(uintptr(p[0]), "out"), sink), os.NewFile(uintptr(p[1]), "in"), nil
}

// tapFile taps the reading end of a pipe, which does not block.
func tapFile(f *os.File, sink func([]byte)) *tap {
	t := newTap(f, sink)
	go t.run()
	return t
}

// newTap is a tap that nobody runs yet.
func newTap(f *os.File, sink func([]byte)) *tap {
	return &tap{file: f, sink: sink, done: make(chan struct{})}
}

func (t *tap) run() {
	defer close(t.done)
	raw, err := t.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for !t.closed.Load() {
			n, again := t.once(int(fd), chunk)
			if again {
				return false // wait until there is more
			}
			if n <= 0 {
				return true
			}
		}
		return true
	})
}

// once reads what is there, at most limit bytes. again: nothing is there now.
// n of 0 is the end.
func (t *tap) once(fd, limit int) (n int, again bool) {
	buf := buffers.Get().(*[chunk]byte) //nolint:errcheck,forcetypeassert // only we put
	defer buffers.Put(buf)
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := quick.Read(uintptr(fd), buf[:min(limit, chunk)])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, true
	case err != nil:
		return 0, false
	case n > 0:
		t.sink(buf[:n])
	}
	return n, false
}

// drain hands on what is in the pipe now. It does not wait for what a process
// left in the background may still write.
func (t *tap) drain() {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		left, err := quick.Waiting(fd)
		for err == nil && left > 0 {
			n, again := t.once(int(fd), left)
			if again || n <= 0 {
				return
			}
			left -= n
		}
		t.mu.Lock()   // one that the other goroutine reads is handed on now
		t.mu.Unlock() //nolint:staticcheck // an empty section is the point
	})
}

// finish reads to the end of the pipe, but not past the deadline: a process
// that was spared may keep it open.
func (t *tap) finish(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
		t.drain()
	}
}

// close ends the reading.
func (t *tap) close() {
	t.closed.Store(true)
	_ = t.file.Close()
}

// socketpair makes the two ends of a kernel's control channel: ours is in the
// runtime's poller, the child's blocks.
func socketpair() (ours, theirs *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.SetNonblock(p[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(p[0]), "control"), os.NewFile(uintptr(p[1]), "kernel"), nil
}
