package ledger

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Directories of sessions are made ahead, with their files: to make three of them is
// most of what a new session would wait for the disk.
const (
	spareMost = 64                    // that are kept
	spareGain = 2                     // made for each that a session has begun with, or would have
	spareRest = 20 * time.Millisecond // until then the session may have its first answer
)

// spares are the directories that wait for their session. An earlier daemon's are
// taken too.
type spares struct {
	dir     string
	closing chan struct{} // closed by close
	close   func()        // more than once, too
	work    sync.WaitGroup

	mu      sync.Mutex
	ready   []string // paths
	wanted  int      // to be made
	working bool     // they are being made, or will be in a moment
}

func openSpares(dir string) (*spares, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &spares{dir: dir, closing: make(chan struct{})}
	p.close = sync.OnceFunc(func() {
		close(p.closing)
		p.work.Wait()
	})
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if info, err := os.Stat(filepath.Join(path, infoFile)); err == nil && info.Size() > 0 {
			if err := os.RemoveAll(path); err != nil { // a daemon was killed that had begun to use it
				return nil, err
			}
			continue
		}
		p.ready = append(p.ready, path)
	}
	return p, nil
}

// take returns one, or nothing, and has others made.
func (p *spares) take() (path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.ready); n > 0 {
		path, p.ready = p.ready[n-1], p.ready[:n-1]
	}
	p.wanted = min(p.wanted+spareGain, spareMost-len(p.ready))
	if p.wanted > 0 && !p.working && !p.isClosed() {
		p.working = true
		p.work.Go(p.fill)
	}
	return path
}

// fill makes those that are wanted. When one cannot be made, sessions make their
// own, and say why that fails.
func (p *spares) fill() {
	select {
	case <-time.After(spareRest):
	case <-p.closing:
	}
	for p.wants() {
		path := filepath.Join(p.dir, rand.Text())
		err := makeSpare(path)
		p.mu.Lock()
		if err == nil {
			p.ready = append(p.ready, path)
		} else {
			p.wanted = 0
		}
		p.mu.Unlock()
	}
}

// wants reports whether another is to be made.
func (p *spares) wants() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working = p.wanted > 0 && !p.isClosed()
	if p.working {
		p.wanted--
	}
	return p.working
}

func (p *spares) isClosed() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

func makeSpare(path string) error {
	err := os.Mkdir(path, 0o700)
	for _, name := range []string{infoFile, leftPadded(1) + ".log"} {
		if err == nil {
			err = os.WriteFile(filepath.Join(path, name), nil, 0o600)
		}
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(path))
	}
	return nil
}

// begin makes the directory of a session, of a spare one where there is a good one.
func (s *Store) begin(dir string, info Info) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if path := s.spares.take(); path != "" {
		if useSpare(path, dir, data) == nil {
			return nil
		}
		_ = os.RemoveAll(path) // whatever is wrong with the disk, the next lines say
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return replace(filepath.Join(dir, infoFile), data)
}

// useSpare does not truncate what is empty, as the host would begin to write such a file
// to the disk when it is closed, and does not look first where the directory is to be.
func useSpare(path, dir string, info []byte) error {
	f, err := os.OpenFile(filepath.Join(path, infoFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(info)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.NewSyscallError("rename", syscall.Rename(path, dir))
}
