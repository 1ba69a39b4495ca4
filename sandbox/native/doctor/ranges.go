//go:build linux

package doctor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ranges looks for a range of uids that the user may map, which takes two
// programs and two files.
func (h *host) ranges() Finding {
	f := Finding{Name: "uid range"}
	for _, program := range []string{"usr/bin/newuidmap", "usr/bin/newgidmap"} {
		if !h.executable(program) {
			return noRange(f, "no /"+program, "sudo apt-get install uidmap")
		}
	}
	name := h.userName()
	for _, file := range []string{"etc/subuid", "etc/subgid"} {
		if size := rangeOf(h.read(file), name, h.uid); size < 1<<16 {
			return noRange(f, fmt.Sprintf("%d ids in /%s, want 65536", size, file),
				"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "+name)
		}
	}
	f.Value = "65536 or more"
	return f
}

func noRange(f Finding, value, remedy string) Finding {
	f.Level, f.Value, f.Remedy = Warn, value, remedy
	f.Why = "each session is to have a uid of its own"
	f.Cost = "all sessions have one uid, and share what the kernel counts by uid"
	return f
}

func (h *host) executable(name string) bool {
	info, err := fsStat(h.root, name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// userName finds the user's name in /etc/passwd, and takes the number when it
// is not there.
func (h *host) userName() string {
	for line := range strings.Lines(h.read("etc/passwd")) {
		fields := strings.Split(line, ":")
		if len(fields) > 2 && fields[2] == strconv.Itoa(h.uid) {
			return fields[0]
		}
	}
	return strconv.Itoa(h.uid)
}

// rangeOf sums the ids that the text of subuid(5) gives to a user.
func rangeOf(text, name string, uid int) int {
	sum := 0
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != strconv.Itoa(uid) {
			continue
		}
		if n, err := strconv.Atoi(fields[2]); err == nil && n > 0 {
			sum += n
		}
	}
	return sum
}

// short is what the system said, without what we did.
func short(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}
