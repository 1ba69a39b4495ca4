//go:build linux

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// good is a host on which everything is as it should be, for the user uid.
func good(uid int) *host {
	root := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/sys/kernel/osrelease":             "6.12.30-amd64",
		"proc/version":                          "Linux version 6.12.30 (gcc) #1 SMP Debian 6.12.30-1 (2026-08-12)",
		"proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno log allow",
		"proc/sys/kernel/pid_max":               "4194304",
		"proc/sys/kernel/threads-max":           "192730",
		"proc/sys/kernel/core_pattern":          "core",
		"proc/sys/kernel/kptr_restrict":         "1",
		"proc/sys/user/max_user_namespaces":     "96365",
		"proc/sys/user/max_net_namespaces":      "96365",
		"proc/sys/user/max_mnt_namespaces":      "96365",
		"proc/sys/user/max_pid_namespaces":      "96365",
		"proc/sys/fs/file-max":                  "2466183",
		"proc/sys/fs/file-nr":                   "1234\t0\t2466183",
		"proc/loadavg":                          "0.10 0.20 0.30 2/345 6789",
		"proc/cgroups":                          "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t312\t1",
		"proc/self/status":                      "Name:\tx\nCapEff:\t000001ffffffffff\n",
		"proc/swaps":                            "Filename Type Size\n/dev/sda2 partition 1\n",
		"etc/passwd":                            "root:x:0:0\nann:x:1000:1000::/home/ann:/bin/sh\n",
		"etc/subuid":                            "bob:1:2\nann:100000:65536\n",
		"etc/subgid":                            "ann:100000:65536\n",
	} {
		root[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	for _, program := range []string{"usr/bin/python3.11", "usr/bin/node", "usr/bin/bash", "usr/bin/newuidmap", "usr/bin/newgidmap"} {
		root[program] = &fstest.MapFile{Mode: 0o755}
	}
	for _, dir := range []string{"usr", "usr/bin"} {
		root[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	return &host{
		opts: Options{StateDir: "/var/lib/s", RuntimeDir: "/run/s"}.withDefaults(), root: root, uid: uid,
		probe:    func(context.Context, bool, uintptr) error { return nil },
		groups:   func(context.Context) (int, []string, error) { return 2, nil, nil },
		pids:     func(context.Context) (int64, int64, string, bool) { return 900, 1 << 20, "/sys/fs/cgroup", true },
		landlock: func() int { return 7 },
		version:  func(_ context.Context, path string) (string, error) { return "v1 of " + path, nil },
		nofile:   func() (uint64, error) { return 1 << 20, nil },
		mounted:  func(string) (bool, bool, error) { return false, false, nil },
		writable: func(string) error { return nil },
		memory:   func() (int64, int64) { return 8 << 30, 6 << 30 },
		resolve:  func(path string) (string, error) { return strings.Replace(path, "/python3", "/python3.11", 1), nil },
	}
}

func (h *host) set(name, text string) {
	h.root.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)}
}

func TestCheck_GoodHost(t *testing.T) {
	for _, f := range check(t.Context(), good(0)) {
		if f.Level != OK || f.Value == "" || f.Why+f.Remedy+f.Cost != "" {
			t.Errorf("%+v", f)
		}
	}
	for _, f := range check(t.Context(), good(1000)) { // who is told of root alone
		if (f.Level != OK) != (f.Name == "user") {
			t.Errorf("%+v", f)
		}
	}
}

func TestCheck_EachFault(t *testing.T) {
	for fault, test := range map[string]struct {
		uid     int
		change  func(h *host)
		finding string
		level   Level
		remedy  string // a part of it
	}{
		"an old kernel":          {0, func(h *host) { h.set("proc/sys/kernel/osrelease", "5.10.0-28-amd64") }, "kernel", Refuse, "newer kernel"},
		"a rather old kernel":    {0, func(h *host) { h.set("proc/sys/kernel/osrelease", "5.15.167") }, "kernel", Warn, "newer kernel"},
		"no kernel at all":       {0, func(h *host) { h.set("proc/sys/kernel/osrelease", "") }, "kernel", Warn, "/proc"},
		"built before the fixes": {0, func(h *host) { h.set("proc/version", "Linux version 6.1 #1 SMP Debian 6.1.90-1 (2026-05-03)") }, "kernel age", Warn, "virtual machine"},
		"built who knows when":   {0, func(h *host) { h.set("proc/version", "Linux version 6.18.44 #1 SMP @0") }, "kernel age", Warn, "newest kernel"},
		"built before, Ubuntu":   {0, func(h *host) { h.set("proc/version", "Linux version 6.8 #45-Ubuntu SMP Fri Aug 30 12:02:04 UTC 2024") }, "kernel age", Warn, ""},
		"no seccomp":             {0, func(h *host) { delete(h.root.(fstest.MapFS), "proc/sys/kernel/seccomp/actions_avail") }, "seccomp", Refuse, "CONFIG_SECCOMP"},
		"no landlock":            {0, func(h *host) { h.landlock = func() int { return 0 } }, "landlock", Warn, "lsm="},
		"a container's root":     {0, func(h *host) { h.set("proc/self/status", "CapEff:\t00000000a80425fb\n") }, "capabilities", Refuse, "--cap-add SYS_ADMIN"},
		"no CAP_SYS_RESOURCE":    {0, func(h *host) { h.set("proc/self/status", "CapEff:\t000001fffeffffff\n") }, "capabilities", Warn, "LimitNOFILE"},
		"no network namespaces":  {0, func(h *host) { h.probe = refuse(unix.CLONE_NEWNET) }, "namespaces", Refuse, "--cap-add SYS_ADMIN"},
		"no user namespaces":     {1000, func(h *host) { h.probe = refuse(0) }, "namespaces", Refuse, "run as root"},
		"none allowed":           {1000, func(h *host) { h.set("proc/sys/user/max_user_namespaces", "0\n") }, "user namespaces", Refuse, "user.max_user_namespaces=15000"},
		"root's alone":           {1000, func(h *host) { h.set("proc/sys/kernel/unprivileged_userns_clone", "0") }, "user namespaces", Refuse, "unprivileged_userns_clone=1"},
		"Ubuntu's AppArmor":      {1000, func(h *host) { h.set("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n") }, "user namespaces", Warn, "profile sandwarden /usr/local/bin/sandwarden flags=(unconfined)"},
		"no newuidmap":           {1000, func(h *host) { delete(h.root.(fstest.MapFS), "usr/bin/newuidmap") }, "uid range", Warn, "uidmap"},
		"no range":               {1000, func(h *host) { h.set("etc/subgid", "ann:100000:1000\n1000:1:x\n") }, "uid range", Warn, "100000-165535 ann"},
		"no groups":              {0, func(h *host) { h.groups = noGroups(errors.New("none")) }, "control groups", Refuse, "cgroup_enable=memory"},
		"no groups delegated":    {1000, func(h *host) { h.groups = noGroups(errors.New("none")) }, "control groups", Warn, "Delegate=yes"},
		"version 1 alone":        {1000, func(h *host) { h.groups = noGroups(errors.New("none")) }, "control groups", Warn, "unified_cgroup_hierarchy=1"},
		"groups without processors": {1000, func(h *host) {
			h.groups = func(context.Context) (int, []string, error) { return 2, []string{"cpu"}, nil }
		}, "control groups", Warn, "Delegate=cpu memory pids"},
		"swap that nobody counts": {0, func(h *host) { h.groups = func(context.Context) (int, []string, error) { return 1, nil, nil } }, "swap", Warn, "swapaccount=1"},
		"little memory":           {0, func(h *host) { h.memory = func() (int64, int64) { return 128 << 20, 100 << 20 } }, "memory", Refuse, "larger"},
		"little free memory":      {0, func(h *host) { h.memory = func() (int64, int64) { return 8 << 30, 500 << 20 } }, "memory", Warn, "free"},
		"few processes":           {0, func(h *host) { h.set("proc/sys/kernel/pid_max", "32768\n") }, "processes", Warn, "kernel.pid_max=131072"},
		"too many sessions":       {0, func(h *host) { h.opts.Sessions = 1 << 20; h.set("proc/sys/kernel/threads-max", "4194304\n") }, "processes", Warn, "fewer sessions"},
		"few files":               {0, func(h *host) { h.nofile = func() (uint64, error) { return 4096, nil } }, "open files", Warn, "LimitNOFILE"},
		"too many for groups":     {0, func(h *host) { h.opts.Sessions = 30_000 }, "memory control groups", Warn, "fewer sessions"},
		"a host of few files":     {0, func(h *host) { h.set("proc/sys/fs/file-max", "100000\n") }, "files of the host", Warn, "fs.file-max=524288"},
		"few namespaces":          {0, func(h *host) { h.set("proc/sys/user/max_net_namespaces", "2000\n") }, "number of namespaces", Warn, "user.max_net_namespaces=131072"},
		"a container's processes": {0, func(h *host) {
			h.pids = func(context.Context) (int64, int64, string, bool) { return 10, 2048, "/sys/fs/cgroup", true }
		}, "processes of the group", Warn, "--pids-limit 54096"},
		"hardly any files":         {0, func(h *host) { h.nofile = func() (uint64, error) { return 64, nil } }, "open files", Refuse, "ulimit"},
		"no state directory":       {0, func(h *host) { h.writable = func(string) error { return &fs.PathError{Err: unix.EROFS} } }, "state directory", Refuse, "SANDWARDEN_STATE_DIR"},
		"runtime noexec":           {0, func(h *host) { h.mounted = func(string) (bool, bool, error) { return true, false, nil } }, "runtime directory", Refuse, "SANDWARDEN_RUNTIME_DIR"},
		"runtime read-only":        {0, func(h *host) { h.mounted = func(string) (bool, bool, error) { return false, true, nil } }, "runtime directory", Refuse, "SANDWARDEN_RUNTIME_DIR"},
		"a long runtime directory": {0, func(h *host) { h.opts.RuntimeDir = "/" + strings.Repeat("x", 64) }, "runtime directory", Refuse, ""},
		"a relative one":           {0, func(h *host) { h.opts.RuntimeDir = "run" }, "runtime directory", Refuse, ""},
		"no python":                {0, func(h *host) { h.resolve = missing("python") }, "template python", Warn, "apt-get install python3"},
		"a shim":                   {0, func(h *host) { h.resolve = func(string) (string, error) { return "/root/.pyenv/shims/python3", nil } }, "template python", Warn, "/usr/bin"},
		"a local one":              {0, func(h *host) { h.resolve = func(string) (string, error) { return "/usr/local/bin/python3", nil } }, "template python", Warn, "/usr/bin"},
		"one that is closed":       {0, func(h *host) { h.root.(fstest.MapFS)["usr/bin/node"].Mode = 0o700 }, "template node", Warn, ""},
		"a closed directory":       {0, func(h *host) { h.root.(fstest.MapFS)["usr/bin"].Mode = fs.ModeDir | 0o750 }, "templates", Refuse, ""},
		"one that does not run": {0, func(h *host) {
			h.version = func(context.Context, string) (string, error) { return "", errors.New("no libc") }
		}, "template bash", Warn, ""},
		"nothing installed":      {0, func(h *host) { h.resolve = missing("") }, "templates", Refuse, "install"},
		"addresses to read":      {0, func(h *host) { h.set("proc/sys/kernel/kptr_restrict", "0\n") }, "kernel.kptr_restrict", Warn, "kernel.kptr_restrict=1"},
		"terminals to type into": {0, func(h *host) { h.set("proc/sys/dev/tty/legacy_tiocsti", "1") }, "dev.tty.legacy_tiocsti", Warn, "=0"},
		"a pipe for core files":  {0, func(h *host) { h.set("proc/sys/kernel/core_pattern", "|/usr/share/apport/apport %p") }, "kernel.core_pattern", Warn, "core_pattern=core"},
	} {
		t.Run(fault, func(t *testing.T) {
			h := good(test.uid)
			test.change(h)
			found := check(t.Context(), h)
			i := slices.IndexFunc(found, func(f Finding) bool { return f.Name == test.finding })
			if i < 0 {
				t.Fatalf("nothing is said of %q", test.finding)
			}
			f := found[i]
			if f.Level != test.level || !strings.Contains(f.Remedy, test.remedy) || f.Why == "" || f.Remedy == "" {
				t.Errorf("%+v, want level %v and a remedy with %q", f, test.level, test.remedy)
			}
			if f.Level == Warn && f.Cost == "" && f.Name != "kernel" {
				t.Errorf("%s does not say what it costs", f.Name)
			}
			if worst := Worst(found); worst < test.level || (ExitStatus(found) == 0) != (worst < Refuse) {
				t.Errorf("worst %v, exit status %d", worst, ExitStatus(found))
			}
		})
	}
}

// refuse is a probe that cannot make one kind of namespace.
func refuse(kind uintptr) func(context.Context, bool, uintptr) error {
	return func(_ context.Context, _ bool, flags uintptr) error {
		if flags == kind {
			return &fs.PathError{Op: "fork/exec", Path: "/bin/true", Err: unix.EPERM}
		}
		return nil
	}
}

func noGroups(err error) func(context.Context) (int, []string, error) {
	return func(context.Context) (int, []string, error) { return 0, nil, err }
}

// missing is a host on which nothing with a name is installed.
func missing(name string) func(string) (string, error) {
	return func(path string) (string, error) {
		if strings.Contains(path, name) {
			return "", fs.ErrNotExist
		}
		return path, nil
	}
}

func TestCheck_GroupsThatMustBeEmptied(t *testing.T) {
	h := good(0)
	h.groups = noGroups(fmt.Errorf("x: %w", unix.EBUSY))
	if f := h.controlGroups(t.Context())[0]; f.Level != OK || !strings.Contains(f.Value, "moved") {
		t.Errorf("%+v", f)
	}
}

func TestThisHost(t *testing.T) {
	found := Check(t.Context(), Options{StateDir: t.TempDir(), RuntimeDir: "/run/sandwarden"})
	names := make(map[string]Finding)
	for _, f := range found {
		if f.Name == "" || f.Value == "" || f.Level != OK && (f.Why == "" || f.Remedy == "") {
			t.Errorf("incomplete: %+v", f)
		}
		if _, twice := names[f.Name]; twice {
			t.Errorf("%s is said twice", f.Name)
		}
		names[f.Name] = f
	}
	for _, name := range []string{"kernel", "kernel age", "seccomp", "landlock", "namespaces", "control groups", "memory", "processes", "open files", "files of the host", "number of namespaces", "state directory", "template python", "hardening"} {
		if _, ok := names[name]; !ok {
			t.Errorf("nothing is said of %s among %v", name, slices.Sorted(maps.Keys(names)))
		}
	}
	if err := Render(t.Output(), found); err != nil {
		t.Error(err)
	}
}

// A ctx that has ended must not make a check hang, and the probes say so.
func TestCheck_EndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if worst := Worst(Check(ctx, Options{})); worst != Refuse {
		t.Errorf("worst %v, want refuse: nothing could be tried", worst)
	}
}

func TestRender(t *testing.T) {
	var out bytes.Buffer
	found := []Finding{
		{Name: "kernel", Value: "6.12"},
		{Name: "user namespaces", Level: Warn, Value: "no", Why: "why", Cost: "cost", Remedy: "one\ntwo"},
	}
	if err := Render(&out, found); err != nil {
		t.Fatal(err)
	}
	const want = `ok      kernel           6.12
warn    user namespaces  no
        why   why
        cost  cost
        fix   one
              two

verdict: sandboxes can be made here; 1 warning: user namespaces
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for want, found := range map[string][]Finding{
		"nothing is missing":                   {{Name: "a"}},
		"2 warnings: a, b":                     {{Name: "a", Level: Warn}, {Name: "b", Level: Warn}},
		"no sandbox can be made":               {{Name: "a", Level: Warn}, {Name: "b", Level: Refuse}},
		"until this is changed: b":             {{Name: "a", Level: Warn}, {Name: "b", Level: Refuse}},
		"verdict: sandboxes can be made here,": nil,
	} {
		if got := verdict(found); !strings.Contains(got, want) {
			t.Errorf("verdict %q, want %q", got, want)
		}
	}
}

func TestFinding_JSON(t *testing.T) {
	got, err := json.Marshal([]Finding{{Name: "a", Level: Refuse, Value: "b"}})
	if err != nil || string(got) != `[{"name":"a","level":"refuse","value":"b"}]` {
		t.Errorf("%s, %v", got, err)
	}
	for _, level := range []Level{OK, Warn, Refuse} {
		if level.String() == "unknown" {
			t.Errorf("level %d has no name", level)
		}
	}
	if Level(math.MaxInt8).String() != "unknown" {
		t.Error("a level that is none has a name")
	}
}
