//go:build linux

package native

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// An idRange is the ids beside its own that an ordinary user may map into a
// namespace; see subuid(5).
type idRange struct{ start, size int }

// idMaps are what it takes to give a user namespace more than one id: the
// ranges, and the programs with the right to write them; see newuidmap(1).
type idMaps struct {
	users, groups     idRange
	newuidmap, newgid string
}

// findIDMaps returns what there is of it for this user. ok is false when
// anything is missing; then the namespace has one id.
func findIDMaps() (m idMaps, ok bool) {
	var err error
	if m.newuidmap, err = exec.LookPath("newuidmap"); err != nil {
		return m, false
	}
	if m.newgid, err = exec.LookPath("newgidmap"); err != nil {
		return m, false
	}
	m.users, m.groups = subordinate("/etc/subuid"), subordinate("/etc/subgid")
	return m, m.users.size >= reserved+fewest && m.groups.size >= m.users.size
}

// subordinate returns the range that a file like subuid(5) grants this user.
func subordinate(file string) idRange {
	f, err := os.Open(file)
	if err != nil {
		return idRange{}
	}
	defer func() { _ = f.Close() }()
	id := strconv.Itoa(os.Getuid())
	name := id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != id {
			continue
		}
		start, err1 := strconv.Atoi(fields[1])
		size, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil {
			return idRange{start, size}
		}
	}
	return idRange{}
}

// write maps id 0 of the namespace of a process to this user, and the ids from
// 1 on to the ranges.
func (m idMaps) write(ctx context.Context, pid int) error {
	for _, one := range []struct {
		program string
		own     int
		ids     idRange
	}{{m.newuidmap, os.Getuid(), m.users}, {m.newgid, os.Getgid(), m.groups}} {
		args := []string{
			strconv.Itoa(pid), "0", strconv.Itoa(one.own), "1",
			"1", strconv.Itoa(one.ids.start), strconv.Itoa(one.ids.size),
		}
		if out, err := exec.CommandContext(ctx, one.program, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", one.program, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
