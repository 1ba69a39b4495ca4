package msbtest

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A machine is one configured sandbox, which may run.
type machine struct {
	turn chan struct{} // held by the start or stop that goes on

	mu     sync.Mutex
	config config
	vm     *vm // nil when it does not run
}

// A vm is one that runs, from its start to its end.
type vm struct {
	box    sandbox.Sandbox
	made   time.Time
	warmup time.Duration

	mu   sync.Mutex
	runs map[sandbox.ExecID]*run

	typing sync.Mutex       // held by the one call that types
	repls  map[string]*repl // by their programs
}

func newMachine(c config) *machine { return &machine{config: c, turn: make(chan struct{}, 1)} }

func (m *machine) configure(c config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = c
}

// current returns the vm, and what is configured.
func (m *machine) current() (*vm, config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.vm, m.config
}

// alive returns the sandbox where it runs.
func (m *machine) alive() sandbox.Sandbox {
	v, _ := m.current()
	if v == nil {
		return nil
	}
	select {
	case <-v.box.Dead():
		return nil
	default:
		return v.box
	}
}

func (m *machine) running() bool { return m.alive() != nil }

// ready tells whether commands run in it.
func (m *machine) ready() bool {
	v, _ := m.current()
	return m.running() && time.Since(v.made) >= v.warmup
}

// start starts a machine that does not run, also when the caller goes away
// meanwhile, and waits until it is ready where the server is to be sure of that.
func (s *Server) start(ctx context.Context, m *machine) bool {
	started := make(chan bool, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.tasks.Go(func() { started <- s.boot(m) })
	s.mu.Unlock()
	select {
	case ok := <-started:
		if !ok || s.opts.Verdict != Started {
			return ok
		}
	case <-ctx.Done():
		return false
	}
	timer := time.NewTimer(s.opts.StartDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return m.running()
}

// boot makes the sandbox of a machine, unless there is one.
func (s *Server) boot(m *machine) bool {
	ctx, cancel := s.bounded()
	defer cancel()
	if !m.running() && !wait(ctx, s.opts.PullDelay) {
		return false
	}
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	if m.running() || s.isClosed() {
		return m.running()
	}
	old, c := m.current()
	if old != nil {
		_ = old.box.Destroy(ctx) // it is dead
	}
	template, ok := s.opts.Images[*c.Image]
	if !ok {
		return false
	}
	flavor := sandbox.Flavor{Name: "vm", CPUs: 1, MemoryMB: 512, Pids: 512, DiskMB: s.opts.DiskMB, Inodes: 65536}
	if c.CPUs != nil {
		flavor.CPUs = int(*c.CPUs)
	}
	if c.Memory != nil {
		flavor.MemoryMB = int(*c.Memory)
	}
	id := sandbox.ID("vm-" + strings.ToLower(rand.Text()))
	box, err := s.backend.Create(ctx, id, sandbox.Spec{Session: "vm", Template: template, Flavor: flavor, Env: c.Envs})
	if err != nil {
		return false
	}
	v := &vm{box: box, made: time.Now(), warmup: s.opts.StartDelay, runs: map[sandbox.ExecID]*run{}, repls: map[string]*repl{}}
	m.mu.Lock()
	m.vm = v
	m.mu.Unlock()
	s.tasks.Go(func() { v.pump(context.WithoutCancel(ctx)) })
	return true
}

// stop ends the sandbox of a machine, if there is one.
func (s *Server) stop(m *machine) error {
	ctx, cancel := s.bounded()
	defer cancel()
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	v, _ := m.current()
	if v == nil {
		return nil
	}
	if err := v.box.Destroy(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	m.vm = nil
	m.mu.Unlock()
	return nil
}
