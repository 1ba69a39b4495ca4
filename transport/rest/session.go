package rest

import (
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A session is a session as clients see it.
type session struct {
	Session    string    `json:"session_id"`
	Sandbox    string    `json:"sandbox_name"`
	Template   string    `json:"template"`
	Flavor     string    `json:"flavor"`
	Limits     limits    `json:"limits"`
	Capped     string    `json:"capped,omitempty"`
	Status     string    `json:"status"`
	Created    time.Time `json:"created_at"`
	LastUsed   time.Time `json:"last_accessed"`
	Running    int       `json:"running"`
	Restarts   int       `json:"restarts"`
	Usage      *usage    `json:"usage,omitempty"`
	Unenforced []string  `json:"unenforced,omitempty"`
	Previous   *previous `json:"previous,omitempty"`
	Events     string    `json:"events"`
}

type limits struct {
	CPUs     int `json:"cpus"`
	MemoryMB int `json:"memory_mb"`
	Pids     int `json:"pids"`
	DiskMB   int `json:"disk_mb"`
	Inodes   int `json:"inodes"`
}

// usage is what the session's sandbox uses now.
type usage struct {
	MemoryBytes int64 `json:"memory_bytes"`
	CPUMillis   int64 `json:"cpu_ms"`
	Tasks       int   `json:"tasks"`
}

type previous struct {
	Ended time.Time `json:"ended"`
	Cause string    `json:"cause"`
}

func shown(s *sandbox.Session) session {
	f := &s.Flavor
	out := session{
		Session: s.Name, Sandbox: string(s.Sandbox), Template: s.Template.Name, Flavor: f.Name,
		Limits: limits{CPUs: f.CPUs, MemoryMB: f.MemoryMB, Pids: f.Pids, DiskMB: f.DiskMB, Inodes: f.Inodes},
		Capped: f.Capped, Status: string(s.Status), Created: s.Created.UTC(), LastUsed: s.LastUsed.UTC(),
		Running: s.Running, Restarts: s.Restarts, Unenforced: s.Unenforced,
		Events: "/v1/sessions/" + s.Name + "/events",
	}
	if u := s.Usage; u != nil && u.MemoryBytes >= 0 {
		out.Usage = &usage{MemoryBytes: u.MemoryBytes, CPUMillis: u.CPU.Milliseconds(), Tasks: u.Tasks}
	}
	if s.Previous != nil {
		out.Previous = &previous{Ended: s.Previous.At.UTC(), Cause: string(s.Previous.Cause)}
	}
	return out
}
