//go:build linux

package doctor

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

// Explain says why this process can make no sandboxes, or none with limits, and
// what to add to how it is started, for clients to read: it names nothing of
// the host. Both are empty when nothing that it knows stands in the way. It
// starts a program at most once.
func Explain(ctx context.Context) (what, remedy string) {
	return thisHost(Options{}.withDefaults()).explain(ctx)
}

func (h *host) explain(ctx context.Context) (what, remedy string) {
	missing := h.missing()
	obstacles := h.obstacles(ctx, missing)
	if len(obstacles) == 0 {
		return "", ""
	}
	in := h.container()
	names := make([]string, 0, len(obstacles))
	for _, o := range obstacles {
		names = append(names, o.what(missing))
	}
	what = "the daemon is started with less than sandboxes need: " + strings.Join(names, ", ")
	if in != noContainer {
		what = "this container (" + in.String() + ") withholds what sandboxes need: " + strings.Join(names, ", ")
	}
	if in == noContainer && slices.Contains(obstacles, ordinaryUser) {
		return what, h.allowUsers()
	}
	return what, in.flags(obstacles, missing)
}

// allowUsers is how a host lets an ordinary user make sandboxes, in one line.
func (h *host) allowUsers() string {
	for _, f := range h.userNamespaces() {
		if f.Level == Refuse {
			return "run as root, or " + f.Remedy
		}
		if f.Level == Warn { // by AppArmor
			return "run as root, or install the AppArmor profile for sandwarden"
		}
	}
	return "run as root, or allow user namespaces to this user"
}

// obstacles returns what can be seen to stand in the way, in the order in which
// it would be met. What only trying would show is not among it.
func (h *host) obstacles(ctx context.Context, missing []string) []obstacle {
	var found []obstacle
	add := func(o obstacle, is bool) {
		if is {
			found = append(found, o)
		}
	}
	inside := h.container() != noContainer
	blocked := !h.isRoot() && h.probe(ctx, true, 0) != nil
	add(ordinaryUser, blocked)
	add(capabilitiesMissing, len(missing) > 0 && (h.isRoot() || inside && blocked))
	// Outside of containers a filter may be a harmless one.
	add(seccompFilter, h.status("Seccomp") == "2" && (inside || blocked))
	add(appArmorConfines, isAppArmor(h.label()))
	add(seLinuxConfines, strings.Contains(h.label(), ":container_t:"))
	add(groupsReadOnly, h.isRoot() && h.readOnlyGroups())
	add(procMasked, h.isNested() && h.maskedProc())
	return found
}

// missing returns the needed capabilities that the process does not have; for
// an ordinary user those that root would not have in the same place.
func (h *host) missing() []string {
	set := "CapEff"
	if !h.isRoot() {
		set = "CapBnd"
	}
	effective, err := strconv.ParseUint(h.status(set), 16, 64)
	if err != nil {
		return nil
	}
	var names []string
	for name, bit := range needed() {
		if effective&(1<<bit) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// label is what the process is confined by, in the words of the security module
// that the kernel has.
func (h *host) label() string {
	if text := h.read("proc/self/attr/apparmor/current"); text != "" {
		return text
	}
	return strings.Trim(h.read("proc/self/attr/current"), "\x00")
}

// isAppArmor reports whether a label is that of a profile that is enforced.
func isAppArmor(label string) bool { return strings.HasSuffix(label, " (enforce)") }

// readOnlyGroups reports whether control groups are mounted, and none can be
// written to.
func (h *host) readOnlyGroups() bool {
	mounted, writable := false, false
	for line := range strings.Lines(h.read("proc/self/mountinfo")) {
		left, right, _ := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if len(fields) < 6 || !strings.HasPrefix(right, "cgroup") {
			continue
		}
		mounted = true
		if !slices.Contains(strings.Split(fields[5], ","), "ro") {
			writable = true
		}
	}
	return mounted && !writable
}

// isNested reports whether the process is in a user namespace, where the kernel
// mounts no /proc unless it sees all of one.
func (h *host) isNested() bool {
	text := h.read("proc/self/uid_map")
	fields := strings.Fields(text)
	return text != "" && !slices.Equal(fields, []string{"0", "0", "4294967295"})
}

// maskedProc reports whether parts of /proc are covered.
func (h *host) maskedProc() bool {
	for line := range strings.Lines(h.read("proc/self/mountinfo")) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], "/proc/") && !strings.HasPrefix(fields[4], "/proc/sys/fs/binfmt_misc") {
			return true
		}
	}
	return false
}
