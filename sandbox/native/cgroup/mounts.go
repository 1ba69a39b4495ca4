//go:build linux

package cgroup

import (
	"path"
	"slices"
	"strings"
)

// A mount is one mounted hierarchy.
type mount struct {
	point       string   // where it is mounted
	own         string   // the daemon's own group below point; "" when it is point itself or lies outside
	controllers []string // of version 1; version 2 says them in a file
	v2          bool
}

// parseMounts finds the hierarchies in the texts of /proc/self/mountinfo and
// /proc/self/cgroup. Of several mounts of one hierarchy the first counts.
func parseMounts(mountinfo, self string) []mount {
	var mounts []mount
	for line := range strings.Lines(mountinfo) {
		m, root, ok := parseMount(line)
		if !ok || slices.ContainsFunc(mounts, m.same) {
			continue
		}
		m.own = ownGroup(self, m, root)
		mounts = append(mounts, m)
	}
	return mounts
}

// parseMount reads one line of mountinfo (proc_pid_mountinfo(5)): root is field
// 4, the mount point field 5; behind the dash stand type, source and options.
func parseMount(line string) (m mount, root string, ok bool) {
	left, right, ok := strings.Cut(line, " - ")
	fields, super := strings.Fields(left), strings.Fields(right)
	if !ok || len(fields) < 5 || len(super) < 3 {
		return mount{}, "", false
	}
	m.point = unescape(fields[4])
	switch super[0] {
	case "cgroup2":
		m.v2 = true
	case "cgroup":
		m.controllers = strings.Split(super[2], ",")
	default:
		return mount{}, "", false
	}
	return m, unescape(fields[3]), true
}

// same reports whether both are of one hierarchy.
func (m mount) same(other mount) bool {
	return m.v2 == other.v2 && slices.Equal(m.controllers, other.controllers)
}

// ownGroup finds the path of the process, relative to the mount, in the text of
// /proc/self/cgroup, whose lines are "id:controllers:path".
func ownGroup(self string, m mount, root string) string {
	for line := range strings.Lines(self) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || m.v2 != (parts[1] == "") {
			continue
		}
		if !m.v2 && !slices.Contains(m.controllers, strings.Split(parts[1], ",")[0]) {
			continue
		}
		rest, ok := strings.CutPrefix(path.Clean(parts[2]), strings.TrimSuffix(root, "/"))
		if !ok || strings.Contains(rest, "..") || rest != "" && rest[0] != '/' {
			return ""
		}
		return strings.Trim(rest, "/")
	}
	return ""
}

// unescape undoes the octal escapes that mountinfo has for space, tab, newline
// and backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// chain returns the directories from the mount point down to the daemon's own
// group.
func (m mount) chain() []string {
	dirs := []string{m.point}
	for part := range strings.SplitSeq(m.own, "/") {
		if part != "" {
			dirs = append(dirs, path.Join(dirs[len(dirs)-1], part))
		}
	}
	return dirs
}
