//go:build linux

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// HostMemory returns the memory that this daemon's host has, and what of it is
// free for use, in bytes. Where a group that the daemon is in has a lower limit,
// as in a container, that is the host. Both are 0 when they cannot be read.
func HostMemory() (total, available int64) {
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	total, available = meminfoField(string(meminfo), "MemTotal:"), meminfoField(string(meminfo), "MemAvailable:")
	mounts, err := hostMounts()
	if err != nil {
		return total, available
	}
	return lowered(total, available, mounts)
}

// meminfoField returns the bytes of a line "key  number kB".
func meminfoField(text, key string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// lowered applies the limits of all groups from the mount points down to ours.
func lowered(total, available int64, mounts []mount) (lowTotal, lowAvailable int64) {
	for _, m := range mounts {
		names := [3]string{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
		switch {
		case m.v2:
			names = [3]string{"memory.max", "memory.current", "inactive_file"}
		case !slices.Contains(m.controllers, memory):
			continue
		}
		for _, dir := range m.chain() {
			limit, free, ok := groupMemory(dir, names)
			if ok {
				total, available = min(total, limit), min(available, free)
			}
		}
	}
	return total, max(available, 0)
}

// groupMemory reads limit, usage and statistics of one group. What files have in
// memory and do not use is given back under pressure, so it counts as free.
func groupMemory(dir string, names [3]string) (limit, free int64, ok bool) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(data))
	}
	limit, err := parseAmount(read(names[0]))
	if err != nil || limit >= unlimited {
		return 0, 0, false
	}
	used, err := parseAmount(read(names[1]))
	if err != nil {
		return 0, 0, false
	}
	cached, err := field(read("memory.stat"), names[2])
	if err != nil {
		return 0, 0, false
	}
	return limit, limit - used + cached, true
}
