package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
)

// memAvailable returns what the kernel says can still be had, in bytes. Its
// fall is all that something costs: the daemon's part, processes, kernel
// memory, pages of files.
func memAvailable() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("memory can be measured on Linux only: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return 0, fmt.Errorf("MemAvailable: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("there is no MemAvailable in /proc/meminfo")
}
