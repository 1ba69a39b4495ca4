//go:build linux

package native

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/setup"
)

// Bounds on what a zygote may take, and say.
const (
	zygoteStart = 60 * time.Second // it may load much
	zygoteFork  = 10 * time.Second
	zygoteWords = 64 << 10
	lockedWord  = "locked" // of a kernel
)

// A zygote is a Python that has loaded what kernels need, and forks them into
// sandboxes. It belongs to one template and ends with its socket. It does one
// thing at a time, as its owner has to.
type zygote struct {
	pid     int
	process *os.File // to be signalled and waited for
	conn    *net.UnixConn
	gone    chan struct{} // closed when it has ended
	words   *lastWords    // on its stderr
	forks   int
	pending sync.WaitGroup    // of kernels that are asked for, and neither there nor given up
	missing map[string]string // modules that could not be loaded, with the reason
}

// errZygote says that a zygote is of no use any more.
var errZygote = errors.New("the zygote does not answer")

// startZygote starts one and waits until it has loaded all.
func (b *Backend) startZygote(ctx context.Context, t sandbox.Template) (*zygote, error) {
	ours, theirs, err := packetPair()
	if err != nil {
		return nil, err
	}
	z := &zygote{conn: ours, gone: make(chan struct{})}
	err = b.execZygote(z, t, theirs)
	_ = theirs.Close() // now its end is seen here
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	if err := z.load(ctx, b, t); err != nil {
		z.end()
		return nil, z.words.explain(err)
	}
	return z, nil
}

// execZygote starts the process, in namespaces of its own.
func (b *Backend) execZygote(z *zygote, t sandbox.Template, control *os.File) error {
	name, _, _ := kernel.Zygote(t.Language)
	argv, env := kernel.Command(t.Language, b.interpreters[t.Name], "/"+driverDir+"/"+name)
	env = append(append(env, baseEnv()...), "LD_BIND_NOW=1") // else each kernel looks up functions for itself
	config, err := boot.Config{Walls: boot.Walls{UserNS: mappedIDs() < allIDs, Zygote: argv, ZygoteEnv: env}}.Encode()
	if err != nil {
		return err
	}
	settings, err := sealed("zygote", 0, config)
	if err != nil {
		return err
	}
	defer func() { _ = settings.Close() }()
	if _, err := settings.Seek(0, 0); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	words, stderr, err := hear()
	if err != nil {
		return err
	}
	z.words = words
	defer func() { _ = stderr.Close() }()
	var pidfd int
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"},
		Files: []uintptr{null.Fd(), null.Fd(), stderr.Fd(), settings.Fd(), control.Fd(), null.Fd(), b.program.Fd(), b.trees[t.Name].Fd()},
		Sys: &syscall.SysProcAttr{
			Setsid: true, PidFD: &pidfd, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
			Pdeathsig: syscall.SIGKILL, // one that hangs does not see the end of its socket; the nest's thread ends with the daemon
		},
	}
	if z.pid, err = b.nest.start(b.init, []string{"sandwarden-agent", setup.ZygoteWord}, attr); err != nil {
		return fmt.Errorf("start a zygote: %w", err)
	}
	_ = unix.SetNonblock(pidfd, true) // so that it can be polled
	z.process = os.NewFile(uintptr(pidfd), "zygote")
	go z.watch()
	return nil
}

// watch waits for the end of the process and reaps it.
func (z *zygote) watch() {
	defer close(z.gone)
	waitFor(z.process)
	for {
		if _, err := unix.Wait4(z.pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = z.process.Close()
}

// load tells the zygote how kernels are locked down, and waits until it is ready.
func (z *zygote) load(ctx context.Context, b *Backend, t sandbox.Template) error {
	between := kernel.Between()
	if b.opts.noBetween {
		between = nil
	}
	policy, err := setup.Policy(b.agentConfig(t).Walls, b.opts.Preimport, between)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, zygoteStart)
	defer cancel()
	answer, err := z.ask(ctx, policy, nil)
	if err != nil {
		return err
	}
	if answer.Ready == nil {
		return fmt.Errorf("%w: %s", errZygote, answer.Error)
	}
	z.missing = answer.Ready.Missing
	return nil
}

// A zygoteAnswer is what a zygote says. It is ours, and has seen no tenant.
type zygoteAnswer struct {
	Ready *struct {
		Missing map[string]string `json:"missing"`
	} `json:"ready"`
	Error string `json:"error"`
}

// fork asks the zygote for a kernel, as the user uid, in the sandbox whose PID 1 is the
// descriptor init, with its ends of the kernel's files and the cgroups to join. It does
// not enter the sandbox before there is something in the pipe there. Until then it
// rehearses, or not. What is returned is for locked. Errors that are errZygote mean that
// the zygote is to end.
func (z *zygote) fork(ctx context.Context, uid int, rehearse bool, init int, there *os.File, files []*os.File) (told *os.File, err error) {
	told, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// Not the caller's: who gives up in the middle would cost all others the zygote.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), zygoteFork)
	defer cancel()
	fds := []int{init, int(tell.Fd()), int(there.Fd())}
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	request := []uint32{uint32(uid), 0}
	if rehearse {
		request[1] = 1
	}
	packet, err := binary.Append(nil, binary.NativeEndian, request)
	if err == nil {
		err = z.send(ctx, packet, fds)
	}
	_ = tell.Close() // now its end is seen here
	if err != nil {
		return nil, errors.Join(err, told.Close())
	}
	z.forks++
	return told, nil
}

// locked waits until a kernel says that it is locked down, and returns its number in the
// sandbox, which is there.
func (z *zygote) locked(ctx context.Context, told *os.File) (pid int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), zygoteFork)
	defer cancel()
	defer heed(ctx, told)()
	words := make([]byte, 1024)
	n, err := told.Read(words)
	word, number, _ := strings.Cut(string(words[:n]), " ")
	switch {
	case word == lockedWord:
		return strconv.Atoi(number)
	case errors.Is(err, os.ErrDeadlineExceeded), z.hungUp():
		return 0, errors.Join(errZygote, err)
	case n == 0:
		return 0, errors.New("the kernel ended before it was locked down")
	}
	return 0, fmt.Errorf("the zygote forked no kernel: %s", words[:n])
}

// hungUp reports whether nobody is at the other end of the socket. A zygote that is
// there says nothing unasked.
func (z *zygote) hungUp() (ended bool) {
	raw, err := z.conn.SyscallConn()
	if err != nil {
		return true
	}
	err = raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		ended = !errors.Is(err, unix.EAGAIN)
	})
	return ended || err != nil
}

// ask sends one packet and waits for the answer to it.
func (z *zygote) ask(ctx context.Context, packet []byte, fds []int) (answer zygoteAnswer, err error) {
	if err := z.send(ctx, packet, fds); err != nil {
		return answer, err
	}
	defer heed(ctx, z.conn)()
	words := make([]byte, zygoteWords)
	n, err := z.conn.Read(words)
	if err == nil {
		err = json.Unmarshal(words[:n], &answer)
	}
	if err != nil {
		return answer, errors.Join(errZygote, err)
	}
	return answer, nil
}

func (z *zygote) send(ctx context.Context, packet []byte, fds []int) error {
	defer heed(ctx, z.conn)()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := z.conn.WriteMsgUnix(packet, rights, nil); err != nil {
		return errors.Join(errZygote, err)
	}
	return nil
}

// heed has a connection fail at the end of ctx, until the function that it
// returns is called. A deadline that came at the last moment is then taken back:
// it is not that of the next request.
func heed(ctx context.Context, conn interface{ SetDeadline(t time.Time) error }) (stop func()) {
	set := make(chan struct{})
	stopped := context.AfterFunc(ctx, func() {
		defer close(set)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stopped() {
			<-set
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// end ends the zygote, once the kernels are there that it was asked for, and waits for
// that. It has nothing to lose, so nobody waits until it sees the end of its socket.
func (z *zygote) end() {
	z.pending.Wait()
	_ = z.conn.Close()
	z.kill()
	<-z.gone
}

// kill has the zygote end, whatever it does. Who waits for its answer sees that.
func (z *zygote) kill() {
	if raw, err := z.process.SyscallConn(); err == nil { // else it is gone
		_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
}

// packetPair makes a socket whose messages keep their borders: ours in the
// runtime's poller, the other for a child.
func packetPair() (ours *net.UnixConn, theirs *os.File, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(p[1]), "zygote")
	f := os.NewFile(uintptr(p[0]), "zygote")
	defer func() { _ = f.Close() }() // FileConn has its own copy
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn.(*net.UnixConn), theirs, nil //nolint:errcheck,forcetypeassert // it is one
}
