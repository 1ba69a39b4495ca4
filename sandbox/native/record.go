//go:build linux

package native

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A record is what a later daemon must know of a sandbox to end it or to take
// it over, and to be sure that it is the same. It is written before the agent
// starts, and again when the agent's process is known.
type record struct {
	ID       sandbox.ID `json:"id"`
	Slot     sandbox.ID `json:"slot,omitempty"` // names its socket and cgroups, when it was made before its ID was known
	Session  string     `json:"session"`
	Template string     `json:"template"`
	Flavor   string     `json:"flavor"`
	Memory   int        `json:"memory_mb,omitempty"` // of the flavor
	Disk     int        `json:"disk_mb,omitempty"`   // likewise
	Late     bool       `json:"late,omitempty"`      // its agent may be to start when somebody connects
	Room     bool       `json:"room,omitempty"`      // its agent's socket is in a room, and no file
	Kills    int        `json:"kills,omitempty"`     // for want of memory, as told already
	UID      int        `json:"uid"`
	State    string     `json:"state"` // "creating", "pooled", "ready"
	PID      int        `json:"pid,omitempty"`
	Started  uint64     `json:"started,omitempty"` // start time of the process, in ticks since boot
	Boot     string     `json:"boot"`              // id of the boot
	Secret   []byte     `json:"secret"`
	Env      []string   `json:"env,omitempty"` // of the session, that the agent is told with each execution
	Agent    string     `json:"agent"`         // hash of its program
	Protocol int        `json:"protocol"`      // its version
	Created  time.Time  `json:"created"`
}

// slot names what the sandbox has on the host.
func (r record) slot() string { return string(cmp.Or(r.Slot, r.ID)) }

// records keeps the records in a directory, one file each.
type records struct {
	dir string
	mu  *sync.RWMutex // held to write one, and alone to read all
	old *used
}

func openRecords(stateDir string) records {
	dir := filepath.Join(stateDir, "sandboxes")
	return records{dir, new(sync.RWMutex), &used{dir: filepath.Join(stateDir, "used")}}
}

func (r records) path(id sandbox.ID) string { return filepath.Join(r.dir, string(id)+".json") }

// inPlace is the size up to which a record is replaced where it is, and a page: of
// one that a call writes, no end of the daemon leaves a part. To give a new file the
// name of another has some file systems begin to write it to the disk at once, and
// who removes it then waits for that.
const inPlace = 4096

// write writes a record, or replaces it in one step.
func (r records) write(rec record) error { return r.writeAt(rec, rec.ID) }

// begin writes the first record of a sandbox, in a file that was another's where there is
// one.
func (r records) begin(rec record) error {
	file, ok := r.old.take()
	if !ok {
		return r.write(rec)
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if done, err := overwrite(file, data); !done || err != nil || unix.Rename(file, r.path(rec.ID)) != nil {
		_ = os.Remove(file)
		return r.write(rec)
	}
	return nil
}

// rebind replaces the record of a slot by that of the sandbox that it has become.
func (r records) rebind(rec record, slot sandbox.ID) error {
	if err := r.writeAt(rec, slot); err != nil {
		return err
	}
	return os.NewSyscallError("rename", unix.Rename(r.path(slot), r.path(rec.ID)))
}

func (r records) writeAt(rec record, name sandbox.ID) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	done, err := overwrite(r.path(name), data)
	if done || err != nil {
		return err
	}
	temporary := r.path(name) + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, r.path(name))
}

// overwrite writes a file by one call, with space behind the data where it was
// longer. It does nothing when that is too much.
func overwrite(path string, data []byte) (done bool, err error) {
	fault := func(op string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false, fault("open", err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing of a plain file's comes then
	var was unix.Stat_t
	if err := unix.Fstat(fd, &was); err != nil {
		return false, fault("stat", err)
	}
	if max(was.Size, int64(len(data))) > inPlace {
		return false, nil
	}
	data = append(data, bytes.Repeat([]byte(" "), max(0, int(was.Size)-len(data)))...)
	n, err := unix.Pwrite(fd, data, 0)
	if err == nil && n < len(data) {
		err = unix.ENOSPC
	}
	if err != nil {
		return false, fault("write", err)
	}
	return true, nil
}

// tidy removes what a daemon left that was killed while it wrote: parts of large
// records, and files that it had not written yet, of which nothing is there.
func (r records) tidy() error {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && (strings.HasSuffix(entry.Name(), ".json.new") || strings.HasSuffix(entry.Name(), ".json") && info.Size() == 0) {
			errs = append(errs, os.Remove(filepath.Join(r.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// remove removes a record, and the one that its sandbox had before its ID.
func (r records) remove(rec record) error {
	if rec.Slot != "" {
		if err := r.removeFile(rec.Slot); err != nil {
			return err
		}
	}
	if len(rec.Env) == 0 && r.keep(rec.ID) { // else what may be secret would stay
		return nil
	}
	return r.removeFile(rec.ID)
}

// keep keeps a file for another record. Who writes to it has done so.
func (r records) keep(id sandbox.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.old.put(r.path(id))
}

func (r records) removeFile(id sandbox.ID) error {
	err := os.Remove(r.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// read returns one record.
func (r records) read(id sandbox.ID) (rec record, err error) {
	data, err := os.ReadFile(r.path(id))
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	return rec, err
}

// list returns all records that can be read. One that cannot is set aside, so
// that it is looked at by a person and not met again.
func (r records) list() ([]record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names, err := filepath.Glob(filepath.Join(r.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []record
	for _, name := range names {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended just now
		}
		var rec record
		if err != nil {
			return nil, err // of this moment: the record may be good
		}
		if len(data) == 0 {
			continue // see tidy
		}
		base := sandbox.ID(strings.TrimSuffix(filepath.Base(name), ".json"))
		if err := json.Unmarshal(data, &rec); err != nil || rec.ID != base && rec.Slot != base {
			_ = os.Rename(name, strings.TrimSuffix(name, ".json")+".broken")
			continue
		}
		all = append(all, rec)
	}
	return all, nil
}

// bootID names this boot of the host.
func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
}

// startTime returns when a process started, in ticks since boot. Together with
// the boot and the number it names a process for good.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	name := strings.LastIndex(string(data), ") ") // the name itself may hold anything
	if name < 0 {
		return 0, errors.New("stat has no name")
	}
	fields := strings.Fields(string(data)[name+2:])
	const started = 22 - 3 // proc_pid_stat(5) counts from 1, and two fields are cut
	if len(fields) <= started {
		return 0, errors.New("stat is too short")
	}
	return strconv.ParseUint(fields[started], 10, 64)
}

// uidOf returns the user that a process runs as.
func uidOf(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, errors.New("status has no Uid")
}

// instance names a daemon by its state directory, for what it makes on the
// host.
func instance(stateDir string) string {
	path, err := filepath.Abs(stateDir)
	if err != nil {
		path = stateDir
	}
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:5])
}
