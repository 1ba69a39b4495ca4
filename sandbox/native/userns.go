//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// NeedsUserNamespace reports whether this process lacks the right to make
// sandboxes, and so must first move into a user namespace of its own, by
// [RunInUserNamespace].
func NeedsUserNamespace() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0
}

// RunInUserNamespace runs this program again, in a user namespace in which it
// is root and a mount namespace of its own, and waits for its end. Signals are
// handed on. From there everything takes the way that root takes; outside, the
// process has no right that its user has not.
//
// Where the user has been granted ids (subuid(5)), each sandbox has its own.
// Elsewhere the user has one id inside, and all sandboxes share it: that is one
// of the limits that [sandbox.Capabilities] calls unenforced. Kind Unavailable:
// the host forbids such namespaces.
//
// The program must call [AwaitIDs] before all else.
func RunInUserNamespace(ctx context.Context, args, environ []string) (exitCode int, err error) {
	runtime.LockOSThread() // Pdeathsig is sent when the thread that started it ends
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe") // it ends by itself, when signalled
	cmd.Args, cmd.Env = args, environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr //nolint:forbidigo // it is this program, again
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGTERM, // it then ends its sessions, as if asked itself
		Setpgid:    true,            // a terminal's interrupt comes through us, once
	}
	if err := startMapped(ctx, cmd); err != nil {
		return 1, &sandbox.Error{
			Op: "start", Kind: sandbox.Unavailable,
			Detail: "this user may not make user namespaces, without which only root can make sandboxes",
			Remedy: "run: sandwarden doctor, which says what forbids it and how to allow it",
			Err:    err,
		}
	}
	stop := handSignalsOn(cmd.Process)
	defer stop()
	err = cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), nil
	}
	return 0, err
}

// awaitVariable tells a run that its ids are still to be mapped.
const awaitVariable = "SANDWARDEN_AWAIT_IDS"

// startMapped starts cmd in its namespace with ids: many, written by programs
// with the right to, or the one that anybody may map.
func startMapped(ctx context.Context, cmd *exec.Cmd) error {
	maps, ok := findIDMaps()
	if !ok {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		return cmd.Start()
	}
	wait, mapped, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{wait} // descriptor 3
	cmd.Env = append(slices.Clone(cmd.Env), awaitVariable+"=1")
	err = errors.Join(cmd.Start(), wait.Close())
	if err == nil {
		err = maps.write(ctx, cmd.Process.Pid)
		if err == nil {
			_, err = mapped.WriteString("go on")
		}
		if err = errors.Join(err, mapped.Close()); err != nil { // it sees the end, and ends
			return errors.Join(err, cmd.Wait())
		}
		return nil
	}
	return errors.Join(err, mapped.Close())
}

// AwaitIDs does nothing but in a run that [RunInUserNamespace] started and that
// waits for its ids. That one waits and then executes the program again, since
// only who is root at the start of a program has root's rights in it.
func AwaitIDs(environ []string) error {
	i := slices.Index(environ, awaitVariable+"=1")
	if i < 0 {
		return nil
	}
	word, err := io.ReadAll(io.LimitReader(os.NewFile(3, "mapped"), 16))
	if err != nil || len(word) == 0 {
		return errors.Join(errors.New("the ids of the user namespace were not mapped"), err)
	}
	unix.CloseOnExec(3)
	return syscall.Exec("/proc/self/exe", os.Args, slices.Delete(slices.Clone(environ), i, i+1)) //nolint:gosec // it is this program, again
}

// handSignalsOn gives the signals of this process to another until it is
// stopped.
func handSignalsOn(p *os.Process) (stop func()) {
	signals := make(chan os.Signal, 8)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = p.Signal(s)
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// allIDs is the size of the map of a process that is in no user namespace.
const allIDs = 1<<32 - 1

// mappedIDs returns how many user ids this process's namespace has, from 0 on.
func mappedIDs() int {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 1
	}
	next := 0
	for line := range strings.Lines(string(data)) {
		var inside, outside, size int
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err != nil || inside != next {
			break
		}
		next += size
	}
	return max(next, 1)
}
