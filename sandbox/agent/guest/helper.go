//go:build linux

package guest

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/files"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// helper is the program that does what r asks for: our own, once more. The path
// holds also for a child that has become that program to enter its cgroup.
func (ts *transfers) helper(r *wire.OpenTransferRequest, theirs []*os.File) (program, error) {
	p := program{
		path: "/proc/self/exe", env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}, dir: "/work",
		files: []*os.File{ts.null, theirs[0], ts.null, theirs[1]}, group: ts.groups.make(),
	}
	if len(theirs) > 2 {
		p.files[0] = theirs[2]
	}
	args, err := files.Args(r)
	p.argv = append([]string{"sandwarden-agent"}, args...)
	return p, err
}

// openTransfer makes the pipes of a helper. theirs are its stdout, its result
// and, when the operation takes bytes, its stdin; the caller closes them.
func openTransfer(r *wire.OpenTransferRequest) (*transfer, []*os.File, error) {
	t := &transfer{gone: make(chan struct{})}
	ours := []**os.File{&t.out, &t.result}
	if (&sandbox.FileRequest{Op: sandbox.FileOp(r.GetOp())}).Takes() {
		ours = append(ours, &t.in)
	}
	var theirs []*os.File
	for i, f := range ours {
		const out, in = 0, 1
		end := out
		if i == 2 {
			end = in
		}
		mine, other, err := halfPipe(end)
		if err != nil {
			t.closeFiles()
			return nil, theirs, err
		}
		*f, theirs = mine, append(theirs, other)
	}
	return t, theirs, nil
}

// halfPipe makes a pipe of which one end is ours: 0 to read, 1 to write. Ours is
// in the runtime's poller, the other blocks.
func halfPipe(end int) (ours, theirs *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(p[end], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(p[end]), "files"), os.NewFile(uintptr(p[1-end]), "helper"), nil
}
