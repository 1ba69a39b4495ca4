//go:build linux

package doctor

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kernel looks at its version and its age.
func (h *host) kernel() []Finding {
	release := h.read("proc/sys/kernel/osrelease")
	return []Finding{kernelVersion(release), kernelAge(h.read("proc/version"))}
}

// kernelVersion judges the calls that a kernel has by its number.
func kernelVersion(release string) Finding {
	f := Finding{Name: "kernel", Value: release}
	major, minor, ok := parseRelease(release)
	at := func(wantMajor, wantMinor int) bool {
		return major > wantMajor || major == wantMajor && minor >= wantMinor
	}
	switch {
	case !ok:
		f.Level, f.Value = Warn, strconv.Quote(release)
		f.Why = "this is no version of Linux that we know how to read"
		f.Remedy = "check that /proc is mounted and that this is Linux 5.12 or later"
	case !at(5, 12):
		f.Level = Refuse
		f.Why = "sandboxes need calls that came with Linux 5.12: mount_setattr, pidfd, close_range"
		f.Remedy = "install a newer kernel of your distribution"
	case !at(5, 16):
		f.Level = Warn
		f.Why = "before Linux 5.14 a control group cannot be killed at one stroke, and before 5.16 who writes to it is judged by who writes, not by who opened"
		f.Cost = "ending a session takes longer; nothing is less safe"
		f.Remedy = "install a newer kernel of your distribution"
	}
	return f
}

// parseRelease reads "6.1.0-18-amd64".
func parseRelease(release string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(release, ".")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits >= 0 {
		rest = rest[:digits]
	}
	major, err := strconv.Atoi(first)
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(rest)
	return major, minor, err == nil
}

// fixes is when the distributions had the fixes of the page-cache faults of
// 2026.
func fixes() time.Time { return time.Date(2026, time.July, 1, 0, 0, 0, 0, time.UTC) }

// kernelAge warns of kernels that are too old for fixes that matter here more
// than elsewhere, since sandboxes share the host's kernel and page cache.
func kernelAge(version string) Finding {
	f := Finding{Name: "kernel age"}
	built, ok := parseBuilt(version)
	if ok && !built.Before(fixes()) {
		f.Value = "built " + built.Format("2006-01")
		return f
	}
	f.Level, f.Value = Warn, "the kernel does not say when it was built"
	if ok {
		f.Value = "built " + built.Format("2006-01")
	}
	f.Why = "kernels without the fixes of 2026 let a program write to files that it may only read, through the page cache (CVE-2026-31431, CVE-2026-43284, CVE-2026-43500, CVE-2026-46300); sandboxes share the host's kernel"
	f.Cost = "the sockets by which the known attacks come are refused inside, but a new way to the same fault would reach the host"
	f.Remedy = "install your distribution's newest kernel and restart; for code of people you do not trust run the daemon in a virtual machine"
	return f
}

// parseBuilt finds the month in which a kernel was built, as Debian or as most
// others write it.
func parseBuilt(version string) (time.Time, bool) {
	if m := regexp.MustCompile(`\((20\d\d-\d\d-\d\d)\)`).FindStringSubmatch(version); m != nil {
		t, err := time.Parse("2006-01-02", m[1])
		return t, err == nil
	}
	if m := regexp.MustCompile(`([A-Z][a-z]{2}) +(\d+) [\d:]{8} .*?(20\d\d)`).FindStringSubmatch(version); m != nil {
		t, err := time.Parse("Jan 2 2006", fmt.Sprintf("%s %s %s", m[1], m[2], m[3]))
		return t, err == nil
	}
	return time.Time{}, false
}

// filters looks at what narrows system calls and files.
func (h *host) filters() []Finding {
	seccomp := Finding{Name: "seccomp", Value: "filters"}
	actions := strings.Fields(h.read("proc/sys/kernel/seccomp/actions_avail"))
	if !slices.Contains(actions, "errno") || !slices.Contains(actions, "kill_process") {
		seccomp.Level, seccomp.Value = Refuse, "no filters"
		seccomp.Why = "without it a sandbox could use all of the kernel"
		seccomp.Remedy = "use a kernel with CONFIG_SECCOMP_FILTER"
	}
	landlock := Finding{Name: "landlock", Value: "none"}
	if version := h.landlock(); version > 0 {
		landlock.Value = "version " + strconv.Itoa(version)
	} else {
		landlock.Level = Warn
		landlock.Why = "it is a second barrier around files, behind the mounts"
		landlock.Cost = "the first barrier stands alone"
		landlock.Remedy = "use Linux 5.13 or later and add landlock to the kernel's parameter lsm="
	}
	return []Finding{seccomp, landlock}
}
