//go:build linux

package guest

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox/agent/files"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// A transfer is one operation on files, done by a helper. Code in the sandbox
// can hold the other ends of its pipes, so what counts is the helper's end and
// not that of a pipe.
type transfer struct {
	pid    int
	ended  <-chan ending
	in     *os.File // the helper's stdin; nil when the operation takes nothing
	out    *os.File // its stdout
	result *os.File
	idle   *time.Timer

	mu    sync.Mutex    // over the deadlines of the pipes and the end
	gone  chan struct{} // closed when the helper has ended
	fault *wire.Fault   // set before gone is closed

	reading sync.Mutex
	from    uint64 // offset of last
	last    []byte // given, but perhaps not received

	writing sync.Mutex
	taken   uint64
	full    bool // all was written
}

// watch notes how the helper ended, and wakes who waits for it.
func (t *transfer) watch(g *group) {
	e := <-t.ended
	fault := t.outcome(e, g.refusals())
	t.mu.Lock()
	t.fault = fault
	close(t.gone)
	past := time.Unix(1, 0)
	_ = t.out.SetReadDeadline(past)
	if t.in != nil {
		_ = t.in.SetWriteDeadline(past)
	}
	t.mu.Unlock()
	g.end()
}

// outcome is why the operation failed; nil when the helper has said that it did
// not.
func (t *transfer) outcome(e ending, refusals int) *wire.Fault {
	if e.status.Exited() && e.status.ExitStatus() == 0 {
		return t.told()
	}
	switch {
	case refusals > 0:
		return &wire.Fault{Code: wire.FaultCode_NO_TASK}
	case e.status.Signaled():
		return &wire.Fault{Code: wire.FaultCode_KILLED}
	}
	return &wire.Fault{Code: wire.FaultCode_FAILED}
}

// told is what the helper said on its result pipe.
func (t *transfer) told() *wire.Fault {
	var end wire.ReadTransferReply
	data := make([]byte, files.MaxResult)
	n := readNow(t.result, data)
	if proto.Unmarshal(data[:n], &end) != nil || !end.GetEnd() {
		return &wire.Fault{Code: wire.FaultCode_FAILED}
	}
	return end.GetFault()
}

// over reports whether the helper has ended.
func (t *transfer) over() bool {
	select {
	case <-t.gone:
		return true
	default:
		return false
	}
}

// arm sets a deadline of a pipe, unless the helper has ended.
func (t *transfer) arm(set func(time.Time) error, wait time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over() {
		return false
	}
	return set(time.Now().Add(wait)) == nil
}

// await waits for the end of the helper, which is near.
func (t *transfer) await(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-t.gone:
	case <-timer.C:
	}
}

// read returns bytes at an offset that was given before or is next.
func (t *transfer) read(offset uint64, limit int, wait time.Duration) *wire.ReadTransferReply {
	t.reading.Lock()
	defer t.reading.Unlock()
	if offset < t.from || offset-t.from > uint64(len(t.last)) {
		return &wire.ReadTransferReply{End: true, Fault: &wire.Fault{Code: wire.FaultCode_OUT_OF_PLACE}}
	}
	t.last = t.last[offset-t.from:]
	t.from = offset
	if len(t.last) == 0 {
		var end bool
		if t.last, end = t.next(limit, wait); end {
			return &wire.ReadTransferReply{End: true, Fault: t.fault}
		}
	}
	return &wire.ReadTransferReply{Data: t.last[:min(len(t.last), limit)]}
}

// next waits for more of the helper's output. end: there is none, and the
// helper has ended.
func (t *transfer) next(limit int, wait time.Duration) (data []byte, end bool) {
	const pipe = 64 << 10 // more does not come at once
	buf := make([]byte, min(limit, pipe))
	if t.arm(t.out.SetReadDeadline, wait) {
		n, err := t.out.Read(buf)
		if n > 0 {
			return buf[:n], false
		}
		if errors.Is(err, io.EOF) {
			t.await(wait)
		}
	}
	if !t.over() {
		return nil, false
	}
	n := readNow(t.out, buf)
	return buf[:n], n == 0
}

// readNow reads what is in a pipe, without waiting for more.
func readNow(f *os.File, buf []byte) int {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	var n int
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err = unix.Read(int(fd), buf)
			if !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	return max(n, 0)
}

// write takes of data what is not taken yet and fits before the wait is over.
func (t *transfer) write(r *wire.WriteTransferRequest, wait time.Duration) *wire.WriteTransferReply {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.in == nil || r.GetOffset() > t.taken {
		return &wire.WriteTransferReply{Fault: &wire.Fault{Code: wire.FaultCode_OUT_OF_PLACE}}
	}
	known := min(t.taken-r.GetOffset(), uint64(len(r.GetData())))
	rest := r.GetData()[known:]
	n, fault := t.push(rest, wait)
	t.taken += uint64(n)
	if r.GetClose() && n == len(rest) && fault == nil && !t.full {
		t.full = true
		_ = t.in.Close()
	}
	return &wire.WriteTransferReply{Taken: uint32(known) + uint32(n), Fault: fault}
}

func (t *transfer) push(data []byte, wait time.Duration) (int, *wire.Fault) {
	if len(data) == 0 {
		return 0, nil
	}
	if t.full {
		return 0, &wire.Fault{Code: wire.FaultCode_OUT_OF_PLACE}
	}
	var n int
	if t.arm(t.in.SetWriteDeadline, wait) {
		var err error
		n, err = t.in.Write(data)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.await(wait) // the helper reads no more: it ends
		}
	}
	if !t.over() {
		return n, nil
	}
	if t.fault == nil { // it says that all is well, without having seen all
		return n, &wire.Fault{Code: wire.FaultCode_FAILED}
	}
	return n, t.fault
}

// closeLimit is how long the end of a killed helper is waited for.
const closeLimit = 2 * time.Second

// close ends the helper and gives back the pipes.
func (t *transfer) close() {
	if !t.over() {
		signalHelper(t.pid)
		t.await(closeLimit)
	}
	t.closeFiles()
}

func (t *transfer) closeFiles() {
	for _, f := range []*os.File{t.in, t.out, t.result} {
		if f != nil {
			_ = f.Close()
		}
	}
}
