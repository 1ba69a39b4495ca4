package msbtest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// dispatch makes a call.
func (s *Server) dispatch(ctx context.Context, q *request) (any, *refusal) {
	switch *q.Method {
	case "sandbox.start":
		return s.startCalled(ctx, q)
	case "sandbox.stop":
		return s.stopCalled(q)
	case "sandbox.metrics.get":
		return s.metricsCalled(ctx, q)
	case "sandbox.command.run":
		return s.inside(q, func(m *machine, p *params) (any, bool) { return m.command(ctx, p) })
	case "sandbox.repl.run":
		return s.inside(q, func(m *machine, p *params) (any, bool) { return m.typed(ctx, p) })
	}
	return nil, inRPC(http.StatusNotFound, -32601, "Method not found: "+*q.Method, q.ID)
}

// named reads the parameters of a method that is about one sandbox.
func (s *Server) named(q *request) (*params, name, *refusal) {
	p, refused := s.paramsOf(q, true)
	if refused != nil {
		return nil, name{}, refused
	}
	n, refused := s.nameOf(p)
	return p, n, refused
}

func (s *Server) startCalled(ctx context.Context, q *request) (any, *refusal) {
	p, n, refused := s.named(q)
	if refused != nil {
		return nil, refused
	}
	c, refused := s.configOf(p)
	if refused != nil {
		return nil, refused
	}
	m, refused := s.configure(n, c)
	if refused != nil {
		return nil, refused
	}
	if !s.start(ctx, m) {
		return nil, failed()
	}
	return fmt.Sprintf(string(s.opts.Verdict), n.sandbox), nil
}

// configure notes what a sandbox is to be. Without an image that is what it was.
func (s *Server) configure(n name, c *config) (*machine, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.machines[n]
	switch {
	case c != nil && c.Image != nil && m == nil:
		m = newMachine(*c)
		s.machines[n] = m
	case c != nil && c.Image != nil:
		m.configure(*c)
	case m != nil:
	case s.knows(n.namespace):
		return nil, invalid(fmt.Sprintf("Sandbox '%s' not found in existing configuration", n.sandbox))
	default:
		return nil, invalid(fmt.Sprintf("No configuration provided and no existing configuration found for sandbox '%s'", n.sandbox))
	}
	return m, nil
}

// knows tells whether there was ever a sandbox in a namespace. It is called with
// the mutex held.
func (s *Server) knows(namespace string) bool {
	for n := range s.machines {
		if n.namespace == namespace {
			return true
		}
	}
	return false
}

// folder refuses a namespace in which there was never a sandbox.
func (s *Server) folder(namespace string) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.knows(namespace):
		return nil
	case s.opts.Dialect == Projects:
		return invalid("Project directory does not exist")
	}
	return invalid(fmt.Sprintf("Namespace directory '%s' does not exist", namespace))
}

func (s *Server) find(n name) *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machines[n]
}

func (s *Server) stopCalled(q *request) (any, *refusal) {
	_, n, refused := s.named(q)
	if refused != nil {
		return nil, refused
	}
	if refused := s.folder(n.namespace); refused != nil {
		return nil, refused
	}
	m := s.find(n)
	if m == nil || s.stop(m) != nil {
		return nil, failed()
	}
	return fmt.Sprintf("Sandbox %s stopped successfully", n.sandbox), nil
}

// inside makes a call that the agent inside handles.
func (s *Server) inside(q *request, call func(*machine, *params) (any, bool)) (any, *refusal) {
	p, refused := s.forwarded(q)
	if refused != nil {
		return nil, refused
	}
	n, refused := s.nameOf(p)
	if refused != nil {
		return nil, refused
	}
	m := s.find(n)
	if m == nil || !m.ready() {
		return nil, failed()
	}
	value, ok := call(m, p)
	if !ok {
		return nil, failed()
	}
	return value, nil
}

// A metric tells what a sandbox uses. The dialect without namespaces has none.
type metric struct {
	Namespace *string  `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	Running   bool     `json:"running"`
	CPU       *float64 `json:"cpu_usage"`    // percent
	Memory    *uint64  `json:"memory_usage"` // MiB
	Disk      *uint64  `json:"disk_usage"`   // bytes
}

func (s *Server) metricsCalled(ctx context.Context, q *request) (any, *refusal) {
	p, refused := s.paramsOf(q, false)
	if refused != nil {
		return nil, refused
	}
	space := ""
	if s.opts.Dialect == Namespaces {
		space = *p.Namespace
		if text := wrongWord("Namespace", space); text != "" && space != "*" {
			return nil, invalid(text)
		}
	}
	if space != "*" {
		if refused := s.folder(space); refused != nil {
			return nil, refused
		}
	}
	s.mu.Lock()
	all := maps.Clone(s.machines)
	s.mu.Unlock()
	metrics := []metric{}
	for n, m := range all {
		if (space == "*" || n.namespace == space) && (p.Sandbox == nil || *p.Sandbox == n.sandbox) {
			metrics = append(metrics, s.metricOf(ctx, n, m))
		}
	}
	slices.SortFunc(metrics, func(a, b metric) int { return strings.Compare(a.Name, b.Name) })
	return map[string]any{"sandboxes": metrics}, nil
}

func (s *Server) metricOf(ctx context.Context, n name, m *machine) metric {
	x := metric{Name: n.sandbox}
	if s.opts.Dialect == Namespaces {
		x.Namespace = &n.namespace
	}
	box := m.alive()
	if box == nil {
		return x
	}
	x.Running = true
	stats, err := box.Stats(ctx)
	if err != nil {
		return x
	}
	x.CPU = new(float64)
	if stats.MemoryBytes >= 0 {
		mebibytes := uint64(stats.MemoryBytes) >> 20
		x.Memory = &mebibytes
	}
	if stats.DiskBytes >= 0 {
		bytes := uint64(stats.DiskBytes)
		x.Disk = &bytes
	}
	return x
}
