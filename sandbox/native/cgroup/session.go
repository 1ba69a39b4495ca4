//go:build linux

package cgroup

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Limits are what a session may use. A zero sets no limit, but for those of the
// agent, which have defaults.
type Limits struct {
	MemoryBytes      int64
	Pids             int
	CPUs             int
	AgentMemoryBytes int64 // 64 MiB when zero; version 1 does not limit the agent's
	AgentPids        int   // 64 when zero
	// UID is who may make groups for single executions below work, and move
	// processes into them; 0 leaves all to the daemon.
	UID int
}

func (l Limits) withDefaults() Limits {
	l.AgentMemoryBytes = cmp.Or(l.AgentMemoryBytes, 64<<20)
	l.AgentPids = cmp.Or(l.AgentPids, 64)
	return l
}

// A Session is the control groups of one sandbox. It holds no descriptor.
type Session struct {
	host *Host
	name string
}

// Create makes the groups of a new session and sets its limits. It leaves
// nothing behind when it fails.
func (h *Host) Create(name string, limits Limits) (*Session, error) {
	if !validName(name) {
		return nil, &sandbox.Error{Op: "cgroup", ID: name, Kind: sandbox.Invalid, Detail: "the name cannot name a control group"}
	}
	s := &Session{host: h, name: name}
	for i, t := range h.trees {
		if err := s.make(t); err != nil {
			return nil, s.fault(errors.Join(err, s.unmake(h.trees[:i])))
		}
	}
	err := s.hand(limits.UID)
	if err == nil {
		err = s.limit(limits.withDefaults())
	}
	if err != nil {
		return nil, s.fault(errors.Join(err, s.unmake(h.trees)))
	}
	return s, nil
}

// Open returns a session that exists, wholly or in part. Kind NotFound: it does
// not.
func (h *Host) Open(name string) (*Session, error) {
	if validName(name) {
		for _, t := range h.trees {
			if t.exists(name) {
				return &Session{host: h, name: name}, nil
			}
		}
	}
	return nil, &sandbox.Error{Op: "cgroup", ID: name, Kind: sandbox.NotFound}
}

// make makes the directories in one tree, or none.
func (s *Session) make(t *tree) error {
	for i, dir := range t.dirs(s.name) {
		err := t.mkdir(dir)
		if i == 0 {
			if err != nil {
				return err
			}
			if t.split {
				err = s.host.dialect.prepare(t, dir)
			}
		}
		if err != nil {
			return errors.Join(err, s.unmake([]*tree{t}))
		}
	}
	return nil
}

// unmake removes the directories of a session that nobody ever joined.
func (s *Session) unmake(trees []*tree) error {
	var errs []error
	for _, t := range trees {
		dirs := t.dirs(s.name)
		for i := range dirs {
			err := t.rmdir(dirs[len(dirs)-1-i])
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// hand gives the work directory to uid.
func (s *Session) hand(uid int) error {
	t := s.home()
	if uid == 0 {
		return nil
	}
	files := []string{t.work(s.name)}
	if s.host.Version() == 2 {
		files = append(files, t.work(s.name)+"/cgroup.procs", s.name+"/cgroup.procs")
	}
	for _, file := range files {
		if err := t.chown(file, uid); err != nil {
			return err
		}
	}
	return nil
}

// home is the tree in which executions get groups of their own.
func (s *Session) home() *tree { return cmp.Or(s.host.pids, s.host.memory, s.host.freezer) }

// SetLimits changes the limits of a session. Of those that are zero nothing is
// changed.
func (s *Session) SetLimits(limits Limits) error { return s.fault(s.limit(limits)) }

// agentCPU is the agent's part of each period, in microseconds: one processor.
// A tenant can make it work by flooding it with output, and then takes that from
// its own session's fair share. Less would make it late after a burst: half a
// processor doubled the time of a warm call (measured).
const agentCPU = period

// A side is one of the two of a session, with what it may use; 0 changes nothing.
type side struct {
	dir    func(*tree, string) string
	memory int64
	pids   int
	cpu    int64
}

func (s *Session) limit(l Limits) error {
	h := s.host
	work := side{(*tree).work, l.MemoryBytes, l.Pids, int64(l.CPUs) * period}
	agent := side{(*tree).agent, l.AgentMemoryBytes, l.AgentPids, agentCPU}
	if t := h.memory; t != nil && !t.split { // all agents are in one
		agent.memory = 0
	}
	if err := s.limitSide(agent); err != nil {
		return err
	}
	return s.limitSide(work)
}

func (s *Session) limitSide(l side) error {
	h := s.host
	if h.memory != nil && l.memory > 0 {
		if err := h.dialect.limitMemory(h.memory, l.dir(h.memory, s.name), l.memory); err != nil {
			return err
		}
	}
	if h.pids != nil && l.pids > 0 {
		if err := h.pids.writeInt(l.dir(h.pids, s.name)+"/pids.max", int64(l.pids)); err != nil {
			return err
		}
	}
	if h.cpu != nil && l.cpu > 0 {
		return h.dialect.limitCPU(h.cpu, l.dir(h.cpu, s.name), l.cpu)
	}
	return nil
}

// AgentFiles opens the files that one writes "0" to in order to join the agent's
// side; see WorkFiles. Who is moved by another has the kernel wait until every
// processor has been idle or elsewhere for a moment, which takes milliseconds.
func (s *Session) AgentFiles() ([]*os.File, error) {
	return s.joins(func(t *tree) string {
		if !t.split && t != s.host.memory {
			return "" // there only work is told apart
		}
		return t.agent(s.name)
	})
}

// WorkFiles opens the files that one writes "0" to in order to join the work
// side: all of them, in any order. In version 1 only the thread that writes
// moves, in version 2 its whole process. The caller closes them; they work in
// the hands of an unprivileged process too.
func (s *Session) WorkFiles() ([]*os.File, error) {
	return s.joins(func(t *tree) string { return t.work(s.name) })
}

// GroupFiles makes a group below work for one execution, as Limits.UID may make
// others, hands it to uid, and opens the files to join it by; see WorkFiles.
func (s *Session) GroupFiles(name string, uid int) ([]*os.File, error) {
	home := s.home()
	dir := home.work(s.name) + "/" + name
	if err := home.mkdir(dir); err != nil {
		return nil, s.fault(err)
	}
	for _, file := range []string{"", "/cgroup.procs", "/tasks", "/pids.max", "/cgroup.kill"} {
		if err := home.chown(dir+file, uid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, s.fault(err)
		}
	}
	return s.joins(func(t *tree) string {
		if t == home {
			return dir
		}
		return t.work(s.name)
	})
}

// joins opens the file to join a directory by of each tree that has one.
func (s *Session) joins(dir func(*tree) string) ([]*os.File, error) {
	files := make([]*os.File, 0, len(s.host.trees))
	for _, t := range s.host.trees {
		name := dir(t)
		if name == "" {
			continue
		}
		file, err := t.open(name+"/"+s.host.dialect.tasks(), unix.O_WRONLY)
		if err != nil {
			errs := []error{err}
			for _, file := range files {
				errs = append(errs, file.Close())
			}
			return nil, s.fault(errors.Join(errs...))
		}
		files = append(files, file)
	}
	return files, nil
}

// WorkDir opens the directory in which Limits.UID may make a group for each
// execution and move processes from work into it. Limits hold for all of them
// together. The caller closes it.
func (s *Session) WorkDir() (*os.File, error) {
	t := s.home()
	dir, err := t.open(t.work(s.name), unix.O_DIRECTORY|unix.O_RDONLY)
	return dir, s.fault(err)
}

// OOM returns how many processes of work were killed for want of memory. With
// own, work's own limit was hit; else it was that of all sessions, or the host.
func (s *Session) OOM() (kills int, own bool, err error) {
	t := s.host.memory
	if t == nil {
		return 0, false, nil
	}
	n, own, err := s.host.dialect.oom(t, t.work(s.name))
	return int(n), own, s.fault(err)
}

// PidsMax returns how many forks in work were refused by its limit of tasks.
// Version 1 counts them where the forking process is, so that those of a group
// below work are gone with it.
func (s *Session) PidsMax() (hits int, err error) {
	t := s.host.pids
	if t == nil {
		return 0, nil
	}
	dirs := []string{t.work(s.name)}
	if s.host.Version() == 1 {
		if dirs, err = t.below(dirs[0]); err != nil {
			return 0, s.fault(err)
		}
	}
	for _, dir := range dirs {
		n, err := t.readField(dir+"/pids.events", "max")
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) {
			return 0, s.fault(err)
		}
		hits += int(n)
	}
	return hits, nil
}

// Stats returns what the session uses: memory in bytes, the kernel's for it
// included, and with version 2 the agent's, or -1 where nobody counts; processor
// time of work; and tasks, the agent's included.
func (s *Session) Stats() (memory int64, cpu time.Duration, tasks int, err error) {
	h := s.host
	memory = -1
	var errs []error
	if h.memory != nil {
		memory, err = h.dialect.memoryUsed(h.memory, s.name)
		errs = append(errs, err)
	}
	if t := h.cpuacct; t != nil {
		nanoseconds, err := h.dialect.cpuUsed(t, t.work(s.name))
		cpu, errs = time.Duration(nanoseconds), append(errs, err)
	}
	if h.pids != nil {
		n, err := h.pids.readInt(s.name + "/pids.current")
		tasks, errs = int(n), append(errs, err)
	}
	return memory, cpu, tasks, s.fault(errors.Join(errs...))
}

// fault gives an error of a session its type. What is gone is NotFound.
func (s *Session) fault(err error) error {
	if err == nil {
		return nil
	}
	kind := sandbox.KindOf(err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV):
		kind = sandbox.NotFound
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EAGAIN):
		kind = sandbox.Exhausted
	}
	return &sandbox.Error{Op: "cgroup", ID: s.name, Kind: kind, Err: err}
}
