package bench

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// look reads what the kernel says of the machine.
func look(m *Machine) {
	for _, key := range []string{"model name", "cpu model", "Model", "Processor"} { // as the architecture has it
		if m.CPU == "" {
			m.CPU = lineOf("/proc/cpuinfo", key)
		}
	}
	var kib int64
	if _, err := fmt.Sscan(lineOf("/proc/meminfo", "MemTotal"), &kib); err == nil {
		m.Memory = kib << 10
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(release))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(load), &m.Load) // stays 0
	}
	m.Cgroup = cgroupVersion()
}

// cgroupVersion is 2 where the one hierarchy is mounted in the usual place, 1
// where memory has a hierarchy of its own, also beside version 2, or 0.
func cgroupVersion() int {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return 2
	}
	if _, err := os.Stat(root + "/memory"); err == nil {
		return 1
	}
	return 0
}

// lineOf returns the value of the first "key: value" in a file of /proc, or
// nothing.
func lineOf(name, key string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
