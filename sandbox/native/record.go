//go:build linux

package native

import (
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
	"time"

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
type records struct{ dir string }

func (r records) path(id sandbox.ID) string { return filepath.Join(r.dir, string(id)+".json") }

// write replaces a record in one step.
func (r records) write(rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	temporary := r.path(rec.ID) + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, r.path(rec.ID))
}

// tidy removes what a daemon left that was killed while it wrote.
func (r records) tidy() error {
	names, err := filepath.Glob(filepath.Join(r.dir, "*.json.new"))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.Remove(name))
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
	return r.removeFile(rec.ID)
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
		if err := json.Unmarshal(data, &rec); err != nil || string(rec.ID)+".json" != filepath.Base(name) {
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
