//go:build linux

package cgroup

import (
	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// Kills is how many processes of work were killed for want of memory, for who asks
// often: it holds one file open.
type Kills struct{ fd int }

// Kills opens the count. The caller closes it. It is nil, which is no error, where
// nobody counts.
func (s *Session) Kills() (*Kills, error) {
	t := s.host.memory
	if t == nil {
		return nil, nil //nolint:nilnil // nobody counts
	}
	name := t.work(s.name) + "/" + s.host.dialect.kills()
	fd, err := unix.Openat(t.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, s.fault(t.fault("open", name, err))
	}
	return &Kills{fd}, nil
}

// Read returns the count, which is that of [Session.OOM].
func (k *Kills) Read() (int, error) {
	if k == nil {
		return 0, nil
	}
	var text [512]byte // more than there is in either version
	n, err := quick.ReadStart(uintptr(k.fd), text[:])
	if err != nil {
		return 0, err
	}
	kills, err := field(string(text[:n]), "oom_kill")
	return int(kills), err
}

// Close gives the file back.
func (k *Kills) Close() error {
	if k == nil {
		return nil
	}
	return unix.Close(k.fd)
}
