//go:build linux

package doctor

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rights looks at what the daemon's user may do: as root by capabilities, else
// by a user namespace.
func (h *host) rights(ctx context.Context) []Finding {
	if h.isRoot() {
		return append(h.capabilities(), h.namespaces(ctx, false)...)
	}
	f := Finding{Name: "user", Level: Warn, Value: "uid " + strconv.Itoa(h.uid)}
	f.Why = "an ordinary user's sandboxes live in a user namespace, and get what the host gives to it"
	f.Cost = "limits need delegated control groups, and a uid for each session a range of them: see below"
	f.Remedy = "run as root for all of it"
	return append(append([]Finding{f, h.ranges()}, h.userNamespaces()...), h.namespaces(ctx, true)...)
}

// needed are the capabilities that a root daemon cannot do without.
func needed() map[string]uint {
	return map[string]uint{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_KILL": unix.CAP_KILL, "CAP_SETGID": unix.CAP_SETGID,
		"CAP_SETUID": unix.CAP_SETUID, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_SYS_CHROOT": unix.CAP_SYS_CHROOT, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
		"CAP_MKNOD": unix.CAP_MKNOD, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
	}
}

func (h *host) capabilities() []Finding {
	f := Finding{Name: "capabilities", Value: "all that are needed"}
	effective, err := strconv.ParseUint(h.status("CapEff"), 16, 64)
	if err != nil {
		f.Level, f.Value = Warn, "unknown"
		f.Why, f.Remedy = "/proc/self/status cannot be read", "mount /proc"
		return []Finding{f}
	}
	if missing := h.missing(); len(missing) > 0 {
		f.Level, f.Value = Refuse, "missing "+list(missing)
		f.Why = "they are needed to make namespaces and mounts and to change to a session's user"
		f.Remedy = h.container().flags([]obstacle{capabilitiesMissing}, missing)
		return []Finding{f}
	}
	if effective&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		f.Level, f.Value = Warn, "missing CAP_SYS_RESOURCE"
		f.Why = "without it hard limits cannot be raised"
		f.Cost = "the number of sessions is bound by the present limit of open files"
		f.Remedy = "give it to the daemon, or raise its limits from outside (LimitNOFILE= of the unit)"
	}
	return []Finding{f}
}

// status returns a field of /proc/self/status.
func (h *host) status(key string) string {
	for line := range strings.Lines(h.read("proc/self/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// namespaces tries each kind, in a child that ends at once.
func (h *host) namespaces(ctx context.Context, user bool) []Finding {
	f := Finding{Name: "namespaces"}
	kinds := []struct {
		name string
		flag uintptr
	}{
		{"mount", unix.CLONE_NEWNS},
		{"pid", unix.CLONE_NEWPID},
		{"network", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC},
		{"uts", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
	}
	if user {
		if err := h.probe(ctx, true, 0); err != nil {
			f.Level, f.Value = Refuse, "user: "+short(err)
			f.Why = "an ordinary user makes sandboxes inside a user namespace"
			f.Remedy = "allow user namespaces as said above, or run as root"
			if in := h.container(); in != noContainer {
				f.Remedy = in.flags([]obstacle{ordinaryUser, capabilitiesMissing, seccompFilter, appArmorConfines}, h.missing())
			}
			return []Finding{f}
		}
	}
	var missing, have []string
	for _, kind := range kinds {
		if err := h.probe(ctx, user, kind.flag); err != nil {
			missing = append(missing, kind.name+" ("+short(err)+")")
			continue
		}
		have = append(have, kind.name)
	}
	f.Value = strings.Join(have, ", ")
	if len(missing) > 0 {
		f.Level, f.Value = Refuse, "cannot make: "+list(missing)
		f.Why = "a sandbox is made of them"
		in := h.container()
		if in == noContainer {
			in = docker // most that do not say so are of its kind
		}
		f.Remedy = "in a container: " + in.flags([]obstacle{capabilitiesMissing, seccompFilter, appArmorConfines}, []string{"CAP_SYS_ADMIN"}) + "; elsewhere use a kernel that has them"
	}
	return []Finding{f}
}

// userNamespaces looks at the switches by which distributions forbid them.
func (h *host) userNamespaces() []Finding {
	f := Finding{Name: "user namespaces", Value: "allowed"}
	switch {
	case h.read("proc/sys/user/max_user_namespaces") == "0":
		f.Level, f.Value = Refuse, "user.max_user_namespaces = 0"
		f.Why = "this host allows no user namespace to anyone"
		f.Remedy = "sudo sysctl -w user.max_user_namespaces=15000"
		f.Cost = "programs of all users may then make user namespaces"
	case h.read("proc/sys/kernel/unprivileged_userns_clone") == "0":
		f.Level, f.Value = Refuse, "kernel.unprivileged_userns_clone = 0"
		f.Why = "this host allows user namespaces to root alone"
		f.Remedy = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
		f.Cost = "programs of all users may then make user namespaces"
	case h.read("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
		f.Level, f.Value = Warn, "restricted by AppArmor (Ubuntu 23.10 and later)"
		f.Why = "user namespaces have no rights unless a profile names the program"
		f.Remedy = appArmorProfile(h.opts.Executable)
		f.Cost = "none for others: the profile is for this program alone"
	}
	return []Finding{f}
}

// appArmorProfile is what makes AppArmor let one program make user namespaces.
func appArmorProfile(executable string) string {
	return fmt.Sprintf(`sudo tee /etc/apparmor.d/sandwarden <<'END'
abi <abi/4.0>,
include <tunables/global>
profile sandwarden %s flags=(unconfined) {
  userns,
}
END
sudo apparmor_parser -r /etc/apparmor.d/sandwarden`, executable)
}
