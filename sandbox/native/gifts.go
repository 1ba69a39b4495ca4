//go:build linux

package native

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// gifts are the files that an agent gets beside those of every agent, in the order
// that [agent.Config] names.
type gifts struct {
	joins  []*os.File  // of the cgroup `work`
	folder *os.File    // of `work`; nil where there are no groups for executions
	kernel *kernelEnds // nil when the kernel is not forked
}

func (x *box) openGifts() (_ *gifts, err error) {
	g := &gifts{}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	if x.cgroup != nil {
		if g.joins, err = x.cgroup.WorkFiles(); err != nil {
			return nil, err
		}
		if folder, err := x.cgroup.WorkDir(); err == nil {
			g.folder = folder
		}
	}
	if x.backend.nurseries[x.spec.Template.Name].ready() {
		g.kernel, err = openKernelEnds()
	}
	return g, err
}

func (g *gifts) files() []*os.File {
	files := append([]*os.File{}, g.joins...)
	if g.folder != nil {
		files = append(files, g.folder)
	}
	if g.kernel != nil {
		files = append(files, g.kernel.agent...)
	}
	return files
}

// close closes the daemon's copies.
func (g *gifts) close() {
	for _, f := range g.joins {
		_ = f.Close()
	}
	if g.folder != nil {
		_ = g.folder.Close()
	}
	_ = g.kernel.close()
}

// forkKernel has the zygote fork the sandbox's kernel. Where that fails, the end of
// its files tells the agent, which starts an interpreter itself.
func (x *box) forkKernel(ctx context.Context, g *gifts) {
	x.mu.Lock()
	init, err := unix.FcntlInt(uintptr(x.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if x.process == nil {
		err = errors.Join(err, unix.ESRCH)
	}
	x.mu.Unlock()
	if err == nil {
		files := append(append([]*os.File{}, g.kernel.zygote...), g.joins...)
		err = x.backend.nurseries[x.spec.Template.Name].fork(ctx, func(ctx context.Context, z *zygote) error {
			return z.fork(ctx, x.record.UID, init, x.pooled, files)
		})
	}
	if init >= 0 {
		_ = unix.Close(init)
	}
	if err != nil && ctx.Err() == nil {
		x.backend.opts.Logger.Warn("no kernel was forked", "sandbox", string(x.id), "err", err)
	}
}
