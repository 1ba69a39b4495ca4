//go:build linux

package supply

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// What one sandbox may take. A session that nobody uses has eight tasks or
// less; one that works has its programs besides.
const (
	eachDescriptors = 3 // kernel or agent, and process, and one while something runs
	eachTasks       = 10
	eachFiles       = 64 // about thirty in an idle session
	eachNamespaces  = 1
)

// What is left to others.
const (
	keptDescriptors = 1024 // of which those that use their kernels just now have half
	keptTasks       = 4096
	keptFiles       = 16384
	keptNamespaces  = 1024
)

// Descriptors are those of the daemon: RLIMIT_NOFILE and how many are open.
func Descriptors(most, used int64) sandbox.Supply {
	return sandbox.Supply{
		Resource: "descriptors", Limit: "RLIMIT_NOFILE", Used: used, Max: most, Reserve: keptDescriptors, Each: eachDescriptors,
		Raise: func(to int64) string {
			return fmt.Sprintf("LimitNOFILE=%d in the daemon's unit, or ulimit -n %d before it is started", to, to)
		},
	}
}

// Group are the tasks that a control group and all below it may have.
func Group(most, used int64) sandbox.Supply {
	return sandbox.Supply{
		Resource: "tasks", Limit: "pids.max", Used: used, Max: most, Reserve: keptTasks, Each: eachTasks,
		Raise: func(to int64) string {
			return fmt.Sprintf("TasksMax=%d in the unit or slice of the sandboxes, or docker run --pids-limit %d", to, to)
		},
	}
}

// Kernel reads what the kernel sets limits to. What cannot be read is left out.
func Kernel(root fs.FS) []sandbox.Supply {
	tasks, files := Tasks(root), usedFiles(root)
	var all []sandbox.Supply
	for _, s := range []sandbox.Supply{
		{Resource: "tasks", Limit: "kernel.pid_max", Used: tasks, Reserve: keptTasks, Each: eachTasks},
		{Resource: "tasks", Limit: "kernel.threads-max", Used: tasks, Reserve: keptTasks, Each: eachTasks},
		{Resource: "files", Limit: "fs.file-max", Used: files, Reserve: keptFiles, Each: eachFiles},
		{Resource: "namespaces", Limit: "user.max_net_namespaces", Used: -1, Reserve: keptNamespaces, Each: eachNamespaces},
		{Resource: "namespaces", Limit: "user.max_mnt_namespaces", Used: -1, Reserve: keptNamespaces, Each: eachNamespaces},
		{Resource: "namespaces", Limit: "user.max_pid_namespaces", Used: -1, Reserve: keptNamespaces, Each: eachNamespaces},
	} {
		n, err := number(root, "proc/sys/"+strings.Replace(s.Limit, ".", "/", 1))
		if err != nil {
			continue
		}
		s.Max = n
		s.Raise = func(to int64) string { return raise(s.Limit, to) }
		all = append(all, s)
	}
	return all
}

const (
	leastLimit = 1 << 17 // that is worth setting
	mostTasks  = 1 << 22 // that the kernel takes for kernel.pid_max
)

// raise is the command that sets a limit of the kernel to a power of two.
func raise(limit string, to int64) string {
	rounded := int64(leastLimit)
	for rounded < to && rounded < math.MaxInt32 {
		rounded *= 2
	}
	if limit == "kernel.pid_max" && rounded > mostTasks {
		return "want fewer sessions: the kernel takes no higher kernel.pid_max than 4194304"
	}
	return fmt.Sprintf("sudo sysctl -w %s=%d", limit, rounded)
}

// Tasks are the tasks of the whole host; -1 when they cannot be counted.
func Tasks(root fs.FS) int64 {
	data, err := fs.ReadFile(root, "proc/loadavg") // "0.1 0.2 0.3 running/all last"
	if err != nil {
		return -1
	}
	fields := strings.Fields(string(data))
	if len(fields) < 4 {
		return -1
	}
	_, all, _ := strings.Cut(fields[3], "/")
	n, err := strconv.ParseInt(all, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// usedFiles are the files that are open on the host; -1 when they cannot be
// counted.
func usedFiles(root fs.FS) int64 {
	n, err := number(root, "proc/sys/fs/file-nr") // "used free limit"
	if err != nil {
		return -1
	}
	return n
}

// number is the first of those in a file.
func number(root fs.FS, name string) (int64, error) {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\t")
	return strconv.ParseInt(first, 10, 64)
}
