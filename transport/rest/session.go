package rest

import (
	"net/url"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A session is a session as clients see it.
type session struct {
	_           struct{}          `additionalProperties:"true"`
	Session     string            `json:"session_id" doc:"The name that it has in addresses."`
	Sandbox     string            `json:"sandbox_name" doc:"Its present sandbox."`
	Template    string            `json:"template"`
	Flavor      string            `json:"flavor"`
	Limits      limits            `json:"limits" doc:"What its flavor allows."`
	Capped      string            `json:"capped,omitempty" doc:"What the host could not give in full."`
	Status      string            `json:"status" enum:"creating,ready,running,error,stopped"`
	Created     time.Time         `json:"created_at"`
	LastUsed    time.Time         `json:"last_accessed"`
	Frozen      bool              `json:"frozen" doc:"It is idle, and what it has running is paused until it is used."`
	Running     int               `json:"running" doc:"Executions that run or wait."`
	Restarts    int               `json:"restarts" doc:"Fresh sandboxes that it was given."`
	Dir         string            `json:"working_directory"`
	IdleTimeout float64           `json:"idle_timeout,omitempty" doc:"Seconds after which it ends when nobody uses it."`
	Expires     *time.Time        `json:"expires_at,omitempty" doc:"When it ends in any case."`
	Labels      map[string]string `json:"labels,omitempty"`
	Usage       *usage            `json:"usage,omitempty" doc:"What its sandbox uses now."`
	Unenforced  []string          `json:"unenforced,omitempty" nullable:"false" doc:"Limits that are not in force for it."`
	Previous    *previous         `json:"previous,omitempty" doc:"The session of this name that ended within the hour."`
	Events      string            `json:"events" doc:"Where its events are."`
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
		Frozen: s.Frozen, Running: s.Running, Restarts: s.Restarts, Unenforced: s.Unenforced,
		Dir: s.Dir, IdleTimeout: s.IdleTimeout.Seconds(), Labels: s.Labels,
		Events: sessionPath(s.Name) + "/events",
	}
	if out.Dir == "" {
		out.Dir = "/work"
	}
	if !s.Expires.IsZero() {
		expires := s.Expires.UTC()
		out.Expires = &expires
	}
	if u := s.Usage; u != nil && u.MemoryBytes >= 0 {
		out.Usage = &usage{MemoryBytes: u.MemoryBytes, CPUMillis: u.CPU.Milliseconds(), Tasks: u.Tasks}
	}
	if s.Previous != nil {
		out.Previous = &previous{Ended: s.Previous.At.UTC(), Cause: string(s.Previous.Cause)}
	}
	return out
}

// sessionPath is where a session is.
func sessionPath(name string) string { return "/v1/sessions/" + url.PathEscape(name) }
