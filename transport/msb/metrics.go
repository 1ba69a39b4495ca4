package msb

import (
	"context"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A metric is what is known of a sandbox. Null is not known.
type metric struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Running   bool     `json:"running"`
	CPU       *float64 `json:"cpu_usage"`    // percent of one processor, since the last look
	Memory    *uint64  `json:"memory_usage"` // MiB
	Disk      *uint64  `json:"disk_usage"`   // bytes
}

// metrics serves sandbox.metrics.get.
func (h *Handler) metrics(ctx context.Context, c *call) (any, error) {
	spaces := []string{c.params.space()}
	if spaces[0] == everything {
		spaces = h.registry.spaces()
	}
	answer := struct {
		Sandboxes []metric `json:"sandboxes"`
	}{[]metric{}}
	for _, space := range spaces {
		some, err := h.metricsIn(ctx, space, c.params.Sandbox)
		if err != nil {
			return nil, err
		}
		answer.Sandboxes = append(answer.Sandboxes, some...)
	}
	if len(answer.Sandboxes) == 0 && c.params.space() != everything && len(h.registry.in(spaces[0])) == 0 {
		return nil, invalid(textNoFolder, spaces[0])
	}
	return answer, nil
}

// metricsIn are those of a namespace, or of one sandbox in it.
func (h *Handler) metricsIn(ctx context.Context, space string, name *string) ([]metric, error) {
	if name != nil {
		m, err := h.metricOf(ctx, place{space, *name})
		if m == nil || err != nil {
			return nil, err
		}
		return []metric{*m}, nil
	}
	running, err := h.sessions.List(ctx, sandbox.SessionQuery{Owner: ownerOf(space), Usage: true})
	if err != nil {
		return nil, err
	}
	all := make([]metric, 0, len(running))
	seen := make(map[string]bool, len(running))
	for i := range running {
		all = append(all, h.measure(space, &running[i]))
		seen[running[i].Name] = true
	}
	for _, name := range h.registry.in(space) {
		if !seen[name] {
			h.forgetSample(place{space, name})
			all = append(all, metric{Namespace: space, Name: name})
		}
	}
	return all, nil
}

// metricOf is that of one sandbox; nil of one that was never configured.
func (h *Handler) metricOf(ctx context.Context, p place) (*metric, error) {
	if nameFault("", p.name) != "" {
		return nil, invalid("%s", nameFault("Sandbox name", p.name))
	}
	s, err := h.sessions.Find(ctx, p.ref())
	if sandbox.KindOf(err) == sandbox.NotFound && err != nil {
		if _, ok := h.registry.get(p); ok {
			return &metric{Namespace: p.space, Name: p.name}, nil
		}
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	if err != nil {
		return nil, err
	}
	m := h.measure(p.space, &s)
	return &m, nil
}

// measure makes a metric of a session.
func (h *Handler) measure(space string, s *sandbox.Session) metric {
	m := metric{Namespace: space, Name: s.Name, Running: s.Status == sandbox.StatusReady || s.Status == sandbox.StatusRunning}
	if s.Usage == nil {
		return m
	}
	if s.Usage.MemoryBytes >= 0 {
		memory := uint64(s.Usage.MemoryBytes) >> 20
		m.Memory = &memory
	}
	if s.Usage.DiskBytes >= 0 {
		disk := uint64(s.Usage.DiskBytes)
		m.Disk = &disk
	}
	cpu := h.share(place{space, s.Name}, s)
	m.CPU = &cpu
	return m
}

// A sample is the use of processors at a time.
type sample struct {
	box   sandbox.ID
	at    time.Time
	used  time.Duration
	share float64 // that was told with it
}

// sampleTime is the least time between two samples.
const sampleTime = 200 * time.Millisecond

// share is how much of a processor a sandbox has used since the last look, or
// since it was made, in percent.
func (h *Handler) share(p place, s *sandbox.Session) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := sample{box: s.Sandbox, at: time.Now(), used: s.Usage.CPU}
	last, ok := h.samples[p]
	if !ok || last.box != now.box {
		last = sample{at: s.Created}
	} else if now.at.Sub(last.at) < sampleTime {
		return last.share
	}
	if passed := now.at.Sub(last.at); passed > 0 {
		now.share = max(0, 100*float64(now.used-last.used)/float64(passed))
	}
	if len(h.samples) > h.options.MaxSandboxes { // of sandboxes that ended by themselves
		clear(h.samples)
	}
	h.samples[p] = now
	return now.share
}

func (h *Handler) forgetSample(p place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.samples, p)
}
