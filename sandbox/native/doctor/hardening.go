//go:build linux

package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// A sysctl is a switch of the kernel that makes attacks harder.
type sysctl struct {
	name  string // as sysctl(8) has it
	want  int
	least bool // more than want is well too
	why   string
}

func sysctls() []sysctl {
	return []sysctl{
		{"dev.tty.legacy_tiocsti", 0, false, "programs can type into terminals; inside sandboxes it is refused anyway"},
		{"kernel.io_uring_disabled", 1, true, "io_uring has had many faults; inside sandboxes it is refused anyway"},
		{"kernel.unprivileged_bpf_disabled", 1, true, "ordinary users may load programs into the kernel; inside sandboxes it is refused anyway"},
		{"kernel.perf_event_paranoid", 2, true, "ordinary users may watch the kernel's counters; inside sandboxes it is refused anyway"},
		{"vm.unprivileged_userfaultfd", 0, false, "ordinary users may stop the kernel in the midst of a copy; inside sandboxes it is refused anyway"},
		{"kernel.yama.ptrace_scope", 1, true, "processes of one user may read one another's memory"},
		{"kernel.kptr_restrict", 1, true, "the kernel's addresses can be read"},
		{"kernel.dmesg_restrict", 1, true, "everyone may read the kernel's log"},
		{"kernel.randomize_va_space", 2, true, "addresses can be guessed"},
		{"fs.protected_symlinks", 1, true, "links in shared directories are followed for anyone"},
		{"fs.protected_hardlinks", 1, true, "anyone may link to files of others"},
		{"fs.protected_fifos", 1, true, "anyone may lay a pipe where a file is expected"},
	}
}

// hardening looks at what makes the host itself robust. None of it keeps
// sandboxes from being made.
func (h *host) hardening() []Finding {
	var found []Finding
	well := 0
	for _, s := range sysctls() {
		value, err := strconv.Atoi(h.read("proc/sys/" + strings.ReplaceAll(s.name, ".", "/")))
		if err != nil {
			continue // this kernel does not have it
		}
		if value == s.want || value > s.want && s.least {
			well++
			continue
		}
		found = append(found, Finding{
			Name: s.name, Level: Warn, Value: strconv.Itoa(value), Why: s.why,
			Remedy: fmt.Sprintf("sudo sysctl -w %s=%d", s.name, s.want),
			Cost:   "one of the host's own barriers is down",
		})
	}
	if pattern := h.read("proc/sys/kernel/core_pattern"); strings.HasPrefix(pattern, "|") {
		found = append(found, Finding{
			Name: "kernel.core_pattern", Level: Warn, Value: pattern,
			Why:    "a crash inside a sandbox starts this program on the host as root, whatever limit on core files the sandbox has",
			Cost:   "crashes cost the host time, and give hostile data to that program",
			Remedy: "sudo sysctl -w kernel.core_pattern=core",
		})
	}
	return append(found, Finding{Name: "hardening", Value: fmt.Sprintf("%d switches of the kernel as they should be", well)})
}
