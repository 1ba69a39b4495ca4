//go:build linux

package cgroup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMounts(t *testing.T) {
	for name, test := range map[string]struct {
		mountinfo, self string
		want            []mount
	}{
		"version 2 alone, in a service": {
			"25 1 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			"0::/system.slice/sandwarden.service\n",
			[]mount{{point: "/sys/fs/cgroup", own: "system.slice/sandwarden.service", v2: true}},
		},
		"hybrid, and one hierarchy mounted twice": {
			"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
				"36 31 0:32 / /mnt/memory rw - cgroup cgroup rw,memory\n" +
				"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" +
				"50 31 0:40 / /tmp rw - tmpfs tmpfs rw\n",
			"4:memory:/process_api/a5\n1:cpu,cpuacct:/\n0::/\n",
			[]mount{
				{point: "/sys/fs/cgroup/cpu,cpuacct", controllers: []string{"rw", "cpu", "cpuacct"}},
				{point: "/sys/fs/cgroup/memory", own: "process_api/a5", controllers: []string{"rw", "memory"}},
				{point: "/sys/fs/cgroup/unified", v2: true},
			},
		},
		"a container that sees its own group alone": {
			"35 31 0:32 /docker/c0 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			"4:memory:/docker/c0/inner\n",
			[]mount{{point: "/sys/fs/cgroup/memory", own: "inner", controllers: []string{"rw", "memory"}}},
		},
		"a group outside the mount": {
			"35 31 0:32 /docker/c0 /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
			"0::/../other\n",
			[]mount{{point: "/sys/fs/cgroup", v2: true}},
		},
		"a name that only begins like the root": {
			"35 31 0:32 /docker/c /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
			"0::/docker/c0\n",
			[]mount{{point: "/sys/fs/cgroup", v2: true}},
		},
		"an odd path and lines that are cut off": {
			"35 31 0:32 / /mnt/a\\040b rw - cgroup2 cgroup rw\n35 31\n\n35 31 0:32 / /x rw - cgroup\n",
			"nonsense\n",
			[]mount{{point: "/mnt/a b", v2: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseMounts(test.mountinfo, test.self)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(mount{})); diff != "" {
				t.Errorf("parseMounts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMount_Chain(t *testing.T) {
	for own, want := range map[string][]string{
		"":       {"/g"},
		"a.b":    {"/g", "/g/a.b"},
		"a/b/c ": {"/g", "/g/a", "/g/a/b", "/g/a/b/c "},
	} {
		if diff := cmp.Diff(want, mount{point: "/g", own: own}.chain()); diff != "" {
			t.Errorf("chain of %q (-want +got):\n%s", own, diff)
		}
	}
}
