//go:build linux

package guest

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A meter tells how much processor time the processes of a group have used
// since it was made. On cgroups v2 the kernel counts. Elsewhere the meter looks
// at the processes each time it is asked: of one that came and went meanwhile
// it knows what its parent was credited, and of one without a parent nothing.
// So it may tell less than was used, but not more.
type meter struct {
	group *group
	began time.Duration // what the kernel had counted before

	tasks    map[task]life
	past     time.Duration // used by processes that have ended since
	buried   time.Duration // used by them in all their life, which is what parents are credited
	credited time.Duration // to processes that live, of children that ended since
}

// A task names a process: its number alone comes back.
type task struct {
	pid   int
	start uint64 // clock ticks
}

// A life is what one process has used.
type life struct {
	before, own    time.Duration // when the meter was made, and as last seen
	given, credits time.Duration // likewise, of its children that ended and were waited for
}

func newMeter(g *group) *meter {
	m := &meter{group: g}
	if now, ok := g.processorTime(); ok {
		m.began = now
		return m
	}
	m.look()
	for t, l := range m.tasks {
		m.tasks[t] = life{before: l.own, own: l.own, given: l.credits, credits: l.credits}
	}
	m.credited = 0
	return m
}

// used is the processor time since the meter was made.
func (m *meter) used() time.Duration {
	if now, ok := m.group.processorTime(); ok {
		return now - m.began
	}
	m.look()
	used := m.past
	for _, l := range m.tasks {
		used += l.own - l.before
	}
	return used + max(m.credited-m.buried, 0) // of those that were never seen
}

// look takes the times of the processes that there are, and buries those that
// there were.
func (m *meter) look() {
	tasks := make(map[task]life, len(m.tasks))
	m.credited = 0
	for _, pid := range m.group.pids() {
		t, own, credits, ok := timesOf(pid)
		if !ok {
			continue
		}
		l := m.tasks[t]
		l.own, l.credits = own, credits
		tasks[t] = l
		m.credited += credits - l.given
	}
	for t, l := range m.tasks {
		if _, lives := tasks[t]; !lives {
			m.past += l.own - l.before
			m.buried += l.own
		}
	}
	m.tasks = tasks
}

// Bounds on how soon a meter is read again.
const (
	meterSoonest = 50 * time.Millisecond
	meterLatest  = 500 * time.Millisecond
)

// pause is how long to wait before more than what is left can have been used.
func pause(left time.Duration) time.Duration {
	return min(max(left/time.Duration(runtime.NumCPU()), meterSoonest), meterLatest)
}

// tick is the unit of times in /proc: USER_HZ is 100 on all that we run on.
const tick = 10 * time.Millisecond

// timesOf returns the processor time of a process and that of its children
// that have ended and were waited for.
func timesOf(pid int) (t task, own, credits time.Duration, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return task{}, 0, 0, false
	}
	// The name before it is the tenant's to choose, brackets and all.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, stime, cutime, cstime, starttime = 11, 12, 13, 14, 19
	if len(fields) <= starttime {
		return task{}, 0, 0, false
	}
	ticks := func(i int) uint64 {
		n, _ := strconv.ParseUint(string(fields[i]), 10, 64)
		return n
	}
	own = time.Duration(ticks(utime)+ticks(stime)) * tick
	credits = time.Duration(ticks(cutime)+ticks(cstime)) * tick
	return task{pid, ticks(starttime)}, own, credits, true
}

// processorTime returns what the kernel has counted for the group. Only cgroups
// v2 count in each group.
func (x *group) processorTime() (time.Duration, bool) {
	if x.folder == nil {
		return 0, false
	}
	f := x.open("cpu.stat", unix.O_RDONLY)
	if f == nil {
		return 0, false
	}
	defer func() { _ = f.Close() }()
	text := make([]byte, 64)
	n, _ := f.Read(text)
	var used int64
	_, err := fmt.Sscanf(string(text[:max(n, 0)]), "usage_usec %d", &used)
	return time.Duration(used) * time.Microsecond, err == nil
}
