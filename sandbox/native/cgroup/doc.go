// Package cgroup limits, counts, freezes and kills what runs in sandboxes, by
// the control groups of version 1 or 2.
//
// # Layout
//
// Below the daemon's parent, sandwarden/<instance>, each session has one
// directory of its name with two below it: agent, with a small fixed allowance
// and never frozen, and work, with the limits of the flavor. So neither a fork
// bomb nor a full tmpfs takes the agent, and with it the output, along.
//
// In version 1 only the hierarchies of pids and cpu have the two. Those of memory,
// cpuacct and freezer have the session's directory alone, for work: the memory of
// all agents is counted in the daemon's parent, and nothing but the agent's own
// limit, of its heap, keeps it small. A group of memory for each agent would cost
// more than the agent does where there are thousands.
//
// # Who may write
//
// A session's files are opened by the daemon and passed to the agent. Version 1
// checks a write by the rights of who opened the file since Linux 5.16, and by
// those of who writes before it; then the agent may move what has its own uid.
// Version 2 checks the rights and the cgroup namespace of who opened the file
// since 5.16; before it the writer needs write permission to cgroup.procs of
// work and of the session, which is why both belong to the session's uid.
//
// A process inside a cgroup namespace that was made in agent cannot see work.
// Where version 2 is mounted with nsdelegate, as systemd does it, files that
// such a process opens itself move nobody between the two.
//
// # Concurrency
//
// A Host and its Sessions may be used from many goroutines. What one session is
// asked is for its owner to order.
package cgroup
