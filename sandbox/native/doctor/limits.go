//go:build linux

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// controlGroups looks at what limits sessions.
func (h *host) controlGroups(ctx context.Context) []Finding {
	f := Finding{Name: "control groups"}
	version, unenforced, err := h.groups(ctx)
	switch {
	case errors.Is(err, unix.EBUSY):
		f.Value = "version 2, once the daemon has moved the processes of its own group into one below"
	case err != nil:
		f.Level, f.Value = Refuse, "none that is ours"
		if !h.isRoot() {
			f.Level = Warn // it may be allowed
		}
		f.Why = "without them one session can use up the host's memory and processes"
		f.Cost = "sessions start only with allow_unenforced_limits, and memory, processes and processors have no limits then"
		f.Remedy = h.delegation()
	case len(unenforced) > 0:
		f.Level, f.Value = Warn, fmt.Sprintf("version %d, without %s", version, list(unenforced))
		f.Why = "what is missing is not limited, or not done, in any session"
		f.Cost = "sessions start only with allow_unenforced_limits when memory or pids is missing"
		f.Remedy = h.delegation()
	default:
		f.Value = fmt.Sprintf("version %d: memory, pids, cpu, freeze", version)
	}
	return append([]Finding{f}, h.swap(version)...)
}

// delegation is how to get control groups.
func (h *host) delegation() string {
	if in := h.container(); h.isRoot() && in != noContainer && h.readOnlyGroups() {
		return in.flags([]obstacle{groupsReadOnly}, nil)
	}
	if h.isRoot() {
		return `in a container: docker run --cgroupns=private --privileged, so that /sys/fs/cgroup can be written to
elsewhere, on the kernel's command line: cgroup_enable=memory systemd.unified_cgroup_hierarchy=1`
	}
	first := ""
	if _, err := fsStat(h.root, "sys/fs/cgroup/cgroup.controllers"); err != nil { // version 1 cannot be delegated
		first = "restart with systemd.unified_cgroup_hierarchy=1 on the kernel's command line, then\n"
	}
	return first + `sudo mkdir -p /etc/systemd/system/user@.service.d
printf '[Service]\nDelegate=cpu memory pids\n' | sudo tee /etc/systemd/system/user@.service.d/sandwarden.conf
sudo systemctl daemon-reload
log in again, and start the daemon by
systemd-run --user --scope -p Delegate=yes ` + h.opts.Executable + ` serve`
}

// swap warns when sessions can swap without anyone counting.
func (h *host) swap(version int) []Finding {
	devices := strings.Count(h.read("proc/swaps"), "\n") // behind the heading
	if version != 1 || devices == 0 {
		return nil
	}
	if _, err := fsStat(h.root, "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"); err == nil {
		return nil
	}
	return []Finding{{
		Name: "swap", Level: Warn, Value: fmt.Sprintf("%d in use, not accounted", devices),
		Why:    "memory that is swapped out counts for no session",
		Cost:   "a session can use more than its memory, at the expense of the disk",
		Remedy: "add swapaccount=1 to the kernel's command line, or sudo swapoff -a",
	}}
}

// What a session takes of what the host has a fixed number of.
const (
	tasksPerSession   = 8
	filesPerSession   = 2
	tasksOfTheHost    = 4096 // kept for all else
	filesOfTheDaemon  = 1024
	memoryPerSession  = 3 << 20
	leastMemory       = 256 << 20
	comfortableMemory = 1 << 30
)

// capacity says how many sessions fit.
func (h *host) capacity() []Finding {
	return []Finding{h.memorySize(), h.tasks(), h.files()}
}

func (h *host) memorySize() Finding {
	total, available := h.memory()
	floor := max(min(comfortableMemory, total/4), total/10)
	f := Finding{Name: "memory"}
	f.Value = fmt.Sprintf("%d MiB, %d free, for some %d idle sessions", total>>20, available>>20, max(0, (available-floor)/memoryPerSession))
	switch {
	case total < leastMemory:
		f.Level = Refuse
		f.Why, f.Remedy = "the daemon and one sandbox need 256 MiB", "use a larger host, or raise the container's limit"
	case available < floor:
		f.Level = Warn
		f.Why = fmt.Sprintf("no session is admitted while less than %d MiB are free", floor>>20)
		f.Cost, f.Remedy = "requests are refused with cause host_memory", "free some memory"
	}
	return f
}

func (h *host) tasks() Finding {
	limit, room := math.MaxInt, roomFor(h.opts.Sessions)
	var raise []string
	for _, name := range []string{"pid_max", "threads-max"} {
		n, err := strconv.Atoi(h.read("proc/sys/kernel/" + name))
		if err != nil {
			continue
		}
		limit = min(limit, n)
		if n < room {
			raise = append(raise, fmt.Sprintf("kernel.%s=%d", name, room))
		}
	}
	f := Finding{Name: "processes", Value: strconv.Itoa(limit)}
	if limit == math.MaxInt {
		f.Value = "unknown"
		return f
	}
	if fits := max(0, limit-tasksOfTheHost) / tasksPerSession; fits < h.opts.Sessions {
		f.Level = Warn
		f.Why = fmt.Sprintf("a session takes up to %d threads", tasksPerSession)
		f.Cost = fmt.Sprintf("%d sessions fit, not %d", fits, h.opts.Sessions)
		f.Remedy = "sudo sysctl -w " + strings.Join(raise, " ")
		if len(raise) == 0 {
			f.Remedy = "want fewer sessions: the kernel takes no higher limit"
		}
	}
	return f
}

// roomFor returns the power of two that holds the threads of some sessions, as
// far as the kernel goes.
func roomFor(sessions int) int {
	room := 1 << 17
	for room < sessions*tasksPerSession+tasksOfTheHost && room < 1<<22 {
		room *= 2
	}
	return room
}

func (h *host) files() Finding {
	hard, err := h.nofile()
	f := Finding{Name: "open files", Value: strconv.FormatUint(hard, 10)}
	if err != nil {
		f.Value = "unknown"
		return f
	}
	fits := 0
	if hard > filesOfTheDaemon {
		fits = int(min(hard-filesOfTheDaemon, math.MaxInt32)) / filesPerSession
	}
	if fits < h.opts.Sessions {
		f.Level = Warn
		f.Why = fmt.Sprintf("a session takes %d descriptors of the daemon", filesPerSession)
		f.Cost = fmt.Sprintf("%d sessions fit, not %d", fits, h.opts.Sessions)
		f.Remedy = "LimitNOFILE=1048576 in the daemon's unit, or ulimit -Hn 1048576 before it is started"
	}
	return f
}

func fsStat(root fs.FS, name string) (fs.FileInfo, error) { return fs.Stat(root, name) }

// list joins names in a fixed order.
func list(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), ", ") }
