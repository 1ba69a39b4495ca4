//go:build linux

package native

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// mostUsed is how many files of records are kept to be used again.
const mostUsed = 64

// used are the files of the records of sandboxes that have ended. Another sandbox gets
// them, as to make a file and to remove it takes a disk longer than to write it, and the
// more of them were removed lately the longer. What is in them says nothing any more.
type used struct {
	dir string

	mu    sync.Mutex
	files []string
	count int // names
}

// open begins with none.
func (u *used) open() error {
	if err := u.close(); err != nil {
		return err
	}
	return os.Mkdir(u.dir, 0o700)
}

// put keeps a file, unless there are enough, or there is no such file.
func (u *used) put(path string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.files) == mostUsed {
		return false
	}
	file := filepath.Join(u.dir, strconv.Itoa(u.count))
	if unix.Rename(path, file) != nil {
		return false
	}
	u.count++
	u.files = append(u.files, file)
	return true
}

// take gives one away.
func (u *used) take() (file string, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.files) - 1
	if n < 0 {
		return "", false
	}
	file, u.files = u.files[n], u.files[:n]
	return file, true
}

func (u *used) close() error { return os.RemoveAll(u.dir) }
