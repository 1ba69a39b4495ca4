// Package kernel holds the kernels: the small programs that keep the state of
// a language between pieces of code, and how the agent speaks with them.
//
// A kernel is an interpreter that runs a driver file of ours. Descriptor 0 is
// /dev/null, 1 and 2 are pipes that the agent reads, and 3 is one end of a
// stream socket: the control channel, which is a [Conn] at the agent's end.
// What code prints never passes through it.
//
// # What the agent may rely on
//
// All that a cell wrote is in the pipes before its [Done] is sent. There is at
// most one run at a time; while one goes on, SIGINT to the kernel's process
// group ends it and keeps the state. SIGINT at another time does nothing, but
// one that is sent as a run ends may reach the next: send it only while a run
// goes on. Repeat it after half a second, since an interpreter that is about to
// block misses one now and then. A cell that calls exit ends, its kernel stays.
//
// # What it may not rely on
//
// The user's code shares the process with the driver and can say anything on
// the channel. A [Conn] bounds what it accepts; that a [Done] names the run
// that is waited for, and that displays are not too many, is for the agent to
// check.
package kernel
