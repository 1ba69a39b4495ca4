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

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native/supply"
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

// What a session takes of the memory.
const (
	memoryPerSession  = 3 << 20
	leastMemory       = 256 << 20
	comfortableMemory = 1 << 30
)

// capacity says how many sessions fit.
func (h *host) capacity(ctx context.Context) []Finding {
	all := map[string][]sandbox.Supply{}
	for _, s := range supply.Kernel(h.root) {
		all[s.Resource] = append(all[s.Resource], s)
	}
	found := []Finding{
		h.memorySize(),
		h.enough("processes", "a session takes up to %d threads", all["tasks"]...),
		h.files(),
		h.enough("files of the host", "a session has up to %d files open", all["files"]...),
		h.enough("number of namespaces", "a session has %d of each kind", all["namespaces"]...),
	}
	if used, limit, dir, ok := h.pids(ctx); ok {
		f := h.enough("processes of the group", "a session takes up to %d threads", supply.Group(limit, used))
		f.Value += ", by " + dir
		found = append(found, f)
	}
	return append(found, h.memoryGroups()...)
}

// enough says for how many sessions some limits of one thing are enough, and how
// those are raised that are not. why has a place for what one session takes.
func (h *host) enough(name, why string, all ...sandbox.Supply) Finding {
	f := Finding{Name: name, Value: "unknown"}
	if len(all) == 0 {
		return f
	}
	least, raise := &all[0], []string{}
	for i := range all {
		if all[i].Holds() < least.Holds() {
			least = &all[i]
		}
		if all[i].Holds() < h.opts.Sessions {
			raise = append(raise, all[i].Raise(all[i].For(h.opts.Sessions)))
		}
	}
	f.Value = fmt.Sprintf("%s %d, for %d sessions", least.Limit, least.Max, least.Holds())
	if len(raise) > 0 {
		f.Level = Warn
		f.Why = fmt.Sprintf(why, least.Each)
		f.Cost = fmt.Sprintf("%d sessions fit, not %d", least.Holds(), h.opts.Sessions)
		f.Remedy = strings.Join(raise, "\n")
	}
	return f
}

// fewestFiles is what the daemon needs to make a sandbox at all: it gives some of
// what its children get numbers above 200.
const fewestFiles = 256

// files are the descriptors of the daemon, which raises the soft limit itself.
func (h *host) files() Finding {
	hard, err := h.nofile()
	if err != nil {
		return Finding{Name: "open files", Value: "unknown"}
	}
	f := h.enough("open files", "a session takes up to %d descriptors of the daemon", supply.Descriptors(int64(min(hard, math.MaxInt32)), 0))
	f.Value += "; the daemon raises the soft limit to this hard one"
	if hard < fewestFiles {
		f.Level, f.Why = Refuse, fmt.Sprintf("the daemon and one sandbox need %d", fewestFiles)
	}
	return f
}

// What a session takes of the numbers that the kernel has for control groups
// with memory, which nobody can raise.
const (
	memoryGroupNumbers    = 1<<16 - 1
	memoryGroupsOfTheHost = 4096
	memoryGroupsOfSession = 3
)

// memoryGroups says for how many sessions the control groups with memory are
// enough. The kernel counts those too that are removed and still have pages.
func (h *host) memoryGroups() []Finding {
	for line := range strings.Lines(h.read("proc/cgroups")) {
		fields := strings.Fields(line) // name, hierarchy, number, enabled
		if len(fields) < 3 || fields[0] != "memory" {
			continue
		}
		there, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		fits := max(memoryGroupNumbers-memoryGroupsOfTheHost, 0) / memoryGroupsOfSession
		f := Finding{Name: "memory control groups", Value: fmt.Sprintf("%d of %d, for %d sessions", there, memoryGroupNumbers, fits)}
		if fits < h.opts.Sessions {
			f.Level = Warn
			f.Why = fmt.Sprintf("a session takes %d of the numbers that the kernel has for them", memoryGroupsOfSession)
			f.Cost = fmt.Sprintf("%d sessions fit, not %d", fits, h.opts.Sessions)
			f.Remedy = "want fewer sessions: the kernel has no more"
		}
		return []Finding{f}
	}
	return nil
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

func fsStat(root fs.FS, name string) (fs.FileInfo, error) { return fs.Stat(root, name) }

// list joins names in a fixed order.
func list(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), ", ") }
