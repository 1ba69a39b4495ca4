package supervision

import (
	"fmt"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

const (
	mib = int64(1) << 20
	// footprint is what an idle session costs the host.
	footprint = 3 * mib
	// reserve is what admission sets aside for a session that is not yet seen
	// in the host's free memory.
	reserve = 4 * mib
	// unknownSessions is the limit where nothing is known of the host.
	unknownSessions = 1024
)

// floor is the free memory that the host keeps: 1 GiB, a quarter on hosts under
// 4 GiB, and a tenth on very large ones.
func floor(total int64) int64 {
	least := 1024 * mib
	if total < 4096*mib {
		least = total / 4
	}
	return max(least, total/10)
}

// derivedSessions is how many idle sessions a host can hold.
func derivedSessions(total int64, hostSessions int) int {
	n := unknownSessions
	if total > 0 {
		n = int(max(1, (total-floor(total))/footprint))
	}
	if hostSessions > 0 && (total == 0 || hostSessions < n) {
		n = hostSessions
	}
	return n
}

// capFlavor cuts a flavor to what the host has, and says so.
func capFlavor(f sandbox.Flavor, cpus int, total int64) sandbox.Flavor {
	var told []string
	if cpus > 0 && f.CPUs > cpus {
		told = append(told, fmt.Sprintf("%d of %d CPUs", cpus, f.CPUs))
		f.CPUs = cpus
	}
	if memory := int(total / mib); memory > 0 && f.MemoryMB > memory {
		told = append(told, fmt.Sprintf("%d of %d MB of memory", memory, f.MemoryMB))
		f.MemoryMB = memory
		f.DiskMB = min(f.DiskMB, memory/2) // files lie in memory: a full disk is to be told, not to kill
	}
	if len(told) > 0 {
		f.Capped = "this host gives " + strings.Join(told, " and ")
	}
	return f
}
