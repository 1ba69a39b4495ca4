//go:build linux

package native

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// gifts are the files that an agent gets beside those of every agent, in the order
// that [boot.Config] names.
type gifts struct {
	joins  []*os.File  // of the cgroup `work`
	folder *os.File    // of `work`; nil where there are no groups for executions
	kernel *kernelEnds // nil when the kernel is not forked
	born   []*os.File  // of the kernel's own group below `work`, for the zygote alone; nil: the agent makes one
	agent  []*os.File  // of the cgroup `agent`
}

// kernelGroup is the group of a kernel that is forked. It is there before it, since
// to move one takes the kernel of the host milliseconds.
const kernelGroup = "forked"

func (x *box) openGifts() (_ *gifts, err error) {
	g := &gifts{}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if x.backend.nurseries[x.spec.Template.Name].ready() {
		if g.kernel, err = openKernelEnds(); err != nil {
			return nil, err
		}
	}
	if x.cgroup == nil {
		return g, nil
	}
	if g.agent, err = x.cgroup.AgentFiles(); err != nil {
		return nil, err
	}
	if g.joins, err = x.cgroup.WorkFiles(); err != nil {
		return nil, err
	}
	folder, err := x.cgroup.WorkDir()
	if err != nil {
		return g, nil // then executions are told apart without
	}
	g.folder = folder
	if g.kernel != nil && x.record.UID > 0 {
		g.born, err = x.cgroup.GroupFiles(kernelGroup, x.record.UID)
	}
	if err == nil && g.born != nil && x.backend.late {
		x.direct, err = newDirect(g.kernel, g.outputsAt())
		x.record.Late, x.record.Room = x.direct != nil, x.direct != nil
	}
	return g, err
}

// files are those that the agent's program starts with.
func (g *gifts) files() []*os.File {
	files := slices.Clone(g.joins)
	if g.folder != nil {
		files = append(files, g.folder)
	}
	if g.kernel != nil {
		files = append(files, g.kernel.agent...)
	}
	return append(files, g.agent...)
}

// close closes the daemon's copies.
func (g *gifts) close() {
	for _, f := range slices.Concat(g.joins, g.born, g.agent) {
		_ = f.Close()
	}
	if g.folder != nil {
		_ = g.folder.Close()
	}
	_ = g.kernel.close()
}

// zygote are those that the zygote gets to fork the kernel with.
func (g *gifts) zygote() []*os.File {
	groups := g.joins
	if g.born != nil {
		groups = g.born
	}
	return slices.Concat(g.kernel.zygote, groups)
}

// A birth is a kernel that is being forked.
type birth struct {
	there   chan struct{} // closed when its sandbox is there, or given up
	givenUp bool          // set before
	done    chan struct{} // closed when the kernel is there, or will not be
	enter   *os.File      // tells the kernel
}

// forkBeside has the zygote fork the sandbox's kernel, where there is one, and closes
// the daemon's copies of the gifts. The backend waits for it in the end, and nobody else
// has to. The caller tells when the sandbox is there, or given up.
func (x *box) forkBeside(ctx context.Context, g *gifts) (*birth, error) {
	b := &birth{there: make(chan struct{}), done: make(chan struct{})}
	if g.kernel == nil {
		g.close()
		close(b.done)
		return b, nil
	}
	enter, tell, err := os.Pipe()
	if err != nil {
		g.close()
		return nil, err
	}
	b.enter = tell
	ctx = context.WithoutCancel(ctx) // a fork has its limits
	if x.direct != nil {
		x.direct.forked = b.done
	}
	x.backend.burials.Go(func() {
		defer close(b.done)
		defer g.close()
		defer func() { _ = enter.Close() }()
		x.forkKernel(ctx, g, b, enter)
	})
	return b, nil
}

// tell has the kernel enter the sandbox, or end as there will be none.
func (b *birth) tell(isThere bool) {
	b.givenUp = !isThere
	if b.enter != nil {
		if isThere {
			_, _ = b.enter.Write([]byte{1}) // one that has ended has no use for it
		}
		_ = b.enter.Close()
	}
	close(b.there)
}

// forkKernel has the zygote fork the sandbox's kernel. Where that fails, the end of
// its files tells the agent, which starts an interpreter itself.
func (x *box) forkKernel(ctx context.Context, g *gifts, b *birth, enter *os.File) {
	x.mu.Lock()
	init, err := unix.FcntlInt(uintptr(x.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if x.process == nil {
		err = errors.Join(err, unix.ESRCH)
	}
	x.mu.Unlock()
	pid := 0
	if err == nil {
		pid, err = x.backend.nurseries[x.spec.Template.Name].fork(ctx, b.there, func(ctx context.Context, z *zygote) (*os.File, error) {
			return z.fork(ctx, x.record.UID, x.pooled, init, enter, g.zygote())
		})
	}
	if init >= 0 {
		_ = unix.Close(init)
	}
	if x.direct != nil {
		x.direct.inside = pid
	}
	<-b.there
	if err != nil && !b.givenUp && !x.isEnding() {
		x.backend.opts.Logger.Warn("no kernel was forked", "sandbox", string(x.id), "err", err)
	}
}
