//go:build linux

package cgroup

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/agent/quick"
)

// Kills is how many processes of work were killed for want of memory, for who asks
// often: it holds one file open.
type Kills struct{ file *os.File }

// Kills opens the count. The caller closes it. It is nil, which is no error, where
// nobody counts.
func (s *Session) Kills() (*Kills, error) {
	t := s.host.memory
	if t == nil {
		return nil, nil //nolint:nilnil // nobody counts
	}
	file, err := t.open(t.work(s.name)+"/"+s.host.dialect.kills(), unix.O_RDONLY)
	if err != nil {
		return nil, s.fault(err)
	}
	return &Kills{file}, nil
}

// Read returns the count, which is that of [Session.OOM].
func (k *Kills) Read() (int, error) {
	if k == nil {
		return 0, nil
	}
	var text [512]byte // more than there is in either version
	n, err := quick.ReadStart(k.file.Fd(), text[:])
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
	return k.file.Close()
}
