//go:build linux

package cgroup

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHostMemory_IsSane(t *testing.T) {
	total, available := HostMemory()
	if total < 64<<20 || available <= 0 || available > total {
		t.Errorf("HostMemory = %d, %d", total, available)
	}
}

// write puts files into a directory that stands for a control group.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLowered(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		m          mount
		outer, own map[string]string
		total      int64
		available  int64
	}{
		"no limit": {
			mount{v2: true, own: "a"}, nil, map[string]string{"memory.max": "max", "memory.current": "1"}, 1000 * mib, 500 * mib,
		},
		"version 2, the outer group is lower": {
			mount{v2: true, own: "a"},
			map[string]string{"memory.max": "104857600", "memory.current": "52428800", "memory.stat": "anon 5\ninactive_file 10485760"},
			map[string]string{"memory.max": "209715200", "memory.current": "0"},
			100 * mib, 60 * mib,
		},
		"version 1, over its limit": {
			mount{controllers: []string{"memory"}, own: "a"},
			nil,
			map[string]string{"memory.limit_in_bytes": "104857600", "memory.usage_in_bytes": "104857700", "memory.stat": "inactive_file 99999999\ntotal_inactive_file 0"},
			100 * mib, 0,
		},
		"version 1 without a limit": {
			mount{controllers: []string{"memory"}, own: "a"},
			map[string]string{"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "1"},
			nil, 1000 * mib, 500 * mib,
		},
		"another controller": {
			mount{controllers: []string{"pids"}, own: "a"},
			map[string]string{"memory.limit_in_bytes": "1", "memory.usage_in_bytes": "1"},
			nil, 1000 * mib, 500 * mib,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.m.point = t.TempDir()
			write(t, test.m.point, test.outer)
			write(t, filepath.Join(test.m.point, test.m.own), test.own)
			total, available := lowered(1000*mib, 500*mib, []mount{test.m})
			if total != test.total || available != test.available {
				t.Errorf("lowered = %d, %d, want %d, %d", total, available, test.total, test.available)
			}
		})
	}
}

func TestMeminfoField(t *testing.T) {
	const text = "MemTotal:       24689264 kB\nMemAvailable:   23000000 kB\nHugePages_Total:       x\n"
	for key, want := range map[string]int64{"MemTotal:": 24689264 << 10, "MemAvailable:": 23000000 << 10, "HugePages_Total:": 0, "No:": 0} {
		if got := meminfoField(text, key); got != want {
			t.Errorf("%s %d, want %d", key, got, want)
		}
	}
}
