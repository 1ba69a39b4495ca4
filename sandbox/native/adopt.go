//go:build linux

package native

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
)

// Adopt implements [sandbox.Backend]. The sandbox must be the one that was
// recorded: the same boot, process, start and user, and an agent that knows the
// secret.
func (b *Backend) Adopt(ctx context.Context, id sandbox.ID) (sandbox.Sandbox, error) {
	if b.uids == nil { // what is missing for new ones need not be missing for those there are
		return nil, b.ready
	}
	rec, err := b.records.read(id)
	if errors.Is(err, os.ErrNotExist) {
		b.unclaim(id)
		return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.NotFound, Cause: sandbox.CauseAgentLost, Detail: "nothing is known of the sandbox"}
	}
	if err != nil {
		return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.Other, Err: err}
	}
	x, err := b.adopt(ctx, rec)
	if err == nil {
		return x, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) { // this daemon ends before it knows: the sandbox stays the next one's
		return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.Canceled, Err: err}
	}
	cause, why := b.autopsy(rec)
	b.unclaim(id)
	b.leaveSlot(rec.Slot)
	ended := b.endLeftover(context.WithoutCancel(ctx), rec)
	if ended == nil {
		b.uids.give(rec.UID)
	}
	err = errors.Join(err, ended)
	return nil, &sandbox.Error{Op: "adopt", ID: string(id), Kind: sandbox.Stopped, Cause: cause, Detail: why, Err: err}
}

// unclaim says that nobody will adopt a sandbox, or that it is adopted.
func (b *Backend) unclaim(id sandbox.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.claimed, id)
}

// claimSlots remembers how the sandboxes that are to be adopted are named on the
// host.
func (b *Backend) claimSlots() {
	for id := range b.claimed {
		if rec, err := b.records.read(id); err == nil && rec.Slot != "" { // else it will not be adopted, or has none
			b.slots[rec.Slot] = true
		}
	}
}

// reserve keeps the user ids of the sandboxes that are to be adopted from new
// ones, which may be made before.
func (b *Backend) reserve() {
	for id := range b.claimed {
		if rec, err := b.records.read(id); err == nil { // else it will not be adopted
			b.uids.claim(rec.UID)
		}
	}
}

// errOther says that a record is of something that is not there any more.
var errOther = errors.New("the sandbox of the record does not run")

func (b *Backend) adopt(ctx context.Context, rec record) (*box, error) {
	if rec.State != "ready" || rec.PID <= 1 || rec.Boot != bootID() {
		return nil, errOther
	}
	x := &box{
		backend: b, id: rec.ID, record: rec, env: rec.Env, adopted: true, kills: rec.Kills,
		dead: make(chan struct{}), exited: make(chan struct{}), turn: make(chan struct{}, 1),
	}
	x.reading.unknown = true
	var err error
	if x.pidfd, err = unix.PidfdOpen(rec.PID, unix.PIDFD_NONBLOCK); err != nil {
		return nil, errors.Join(errOther, err)
	}
	process := os.NewFile(uintptr(x.pidfd), "agent")
	if !isRecorded(rec) { // looked at while the descriptor keeps the number from being another's
		return nil, errors.Join(errOther, process.Close())
	}
	x.process = process
	if b.cgroups != nil {
		if x.cgroup, err = b.cgroups.Open(rec.slot()); err == nil {
			err = x.cgroup.Thaw() // its daemon may have ended while it was frozen
		}
	}
	if err == nil {
		err = b.takeOver(ctx, x)
	}
	if err != nil {
		x.hangUp()
		x.mu.Lock()
		defer x.mu.Unlock()
		x.process = nil
		return nil, errors.Join(err, process.Close())
	}
	b.mu.Lock()
	b.boxes[rec.ID] = x
	delete(b.claimed, rec.ID)
	b.mu.Unlock()
	go x.watch(rec.PID)
	return x, nil
}

// takeOver speaks with the agent of a sandbox that is to be adopted.
func (b *Backend) takeOver(ctx context.Context, x *box) error {
	ctx, cancel := context.WithTimeout(ctx, b.opts.ConnectTimeout)
	defer cancel()
	if err := x.connect(ctx); err != nil || !x.record.Late {
		return err
	}
	before, err := x.client.Load().Take(ctx, agent.Handover{Unknown: true})
	x.forgetful = err == nil && !before
	return err
}

// autopsy says why the sandbox of a record died while no daemon was there, as far
// as what is left of it tells.
func (b *Backend) autopsy(rec record) (sandbox.Cause, string) {
	if rec.Boot != bootID() {
		return sandbox.CauseAgentLost, "the host was restarted"
	}
	if b.cgroups != nil {
		if s, err := b.cgroups.Open(rec.slot()); err == nil {
			if kills, own, err := s.OOM(); err == nil && kills > rec.Kills {
				return memoryCause(own), "the kernel killed processes for want of memory while no daemon was there"
			}
		}
	}
	return sandbox.CauseAgentLost, "the sandbox died while no daemon was there"
}
