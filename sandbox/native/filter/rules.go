//go:build linux

package filter

import (
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/seccomp"
)

// withheld are calls that moby allows and we do not.
func withheld() []string {
	return []string{
		"modify_ldt",                                      // segments, a source of kernel faults that only old emulators need
		"openat2",                                         // its mode stands behind a pointer, see setIDs
		"memfd_secret",                                    // memory that nobody can look into
		"name_to_handle_at",                               // half of a way round mount namespaces
		"ptrace", "process_vm_readv", "process_vm_writev", // reach into other processes
	}
}

// namespaces are the flags of clone that make namespaces, CLONE_NEWTIME
// included.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME

// The kernel takes most numbers as 32 bits and ignores what stands above, so a
// rule must too, or a high bit carries a call past it.
const low = 0xffffffff

func is(value uintptr) seccomp.ValueMatcher { return seccomp.MaskedEqual(low, value) }

// byArgument are the calls whose arguments decide whether they pass.
func byArgument() map[string]seccomp.SyscallRule {
	anything := seccomp.AnyValue{}
	self := seccomp.PerArg{is(0)} // the caller, and nobody else
	return map[string]seccomp.SyscallRule{
		"clone":       seccomp.PerArg{seccomp.MaskedEqual(namespaces, 0)},
		"personality": seccomp.Or{seccomp.PerArg{is(0)}, seccomp.PerArg{is(low)}}, // plain Linux, or a question
		"socket":      sockets(),
		"socketpair":  seccomp.PerArg{is(unix.AF_UNIX)},

		// What changes another process: by its limits alone one can have the
		// kernel kill the agent. Reading a limit harms nobody.
		"prlimit64": seccomp.Or{
			self,
			seccomp.PerArg{anything, anything, seccomp.EqualTo(0)},
		},
		// Of these the first argument says what the second is: only a process,
		// since a group or a user would include the agent.
		"setpriority":        seccomp.PerArg{is(unix.PRIO_PROCESS), is(0)},
		"ioprio_set":         seccomp.PerArg{is(ioprioProcess), is(0)},
		"sched_setaffinity":  self,
		"sched_setattr":      self,
		"sched_setparam":     self,
		"sched_setscheduler": self,
	}
}

// ioprioProcess is IOPRIO_WHO_PROCESS of ioprio_set(2).
const ioprioProcess = 1

// sockets are the kinds of sockets that can be made: those of programs that use
// a network or talk to each other. All other families and protocols are kernel
// code that would be loaded for an attacker alone.
func sockets() seccomp.SyscallRule {
	const kind = 0xf // of the second argument; flags stand above
	anything := seccomp.AnyValue{}
	rules := seccomp.Or{
		seccomp.PerArg{is(unix.AF_UNIX)},
		seccomp.PerArg{is(unix.AF_NETLINK), anything, is(unix.NETLINK_ROUTE)}, // how the C library lists interfaces
	}
	for _, family := range []uintptr{unix.AF_INET, unix.AF_INET6} {
		for _, k := range []struct {
			kind      uintptr
			protocols []uintptr
		}{
			{unix.SOCK_STREAM, []uintptr{0, unix.IPPROTO_TCP}},
			{unix.SOCK_DGRAM, []uintptr{0, unix.IPPROTO_UDP}},
		} {
			for _, protocol := range k.protocols {
				rules = append(rules, seccomp.PerArg{is(family), seccomp.MaskedEqual(kind, k.kind), is(protocol)})
			}
		}
	}
	return rules
}

// refusedFirst are what would else pass with its call: each is refused by the
// value of an argument, of which the kernel looks at the low half alone.
func refusedFirst(table *arch.Info) seccomp.SyscallRules {
	rules := seccomp.NewSyscallRules()
	for name, rule := range setIDs() {
		if number, known := lookUp(table, name); known {
			rules.Set(uintptr(number), rule)
		}
	}
	for name, rule := range map[string]seccomp.SyscallRule{
		"ioctl":             terminals(),
		"fcntl":             seccomp.PerArg{seccomp.AnyValue{}, is(setSignal)},
		"rt_sigqueueinfo":   faults(1),
		"rt_tgsigqueueinfo": faults(2),
		// The sender's own words on where a signal comes from; without them the
		// kernel says the truth.
		"pidfd_send_signal": seccomp.PerArg{seccomp.AnyValue{}, seccomp.AnyValue{}, seccomp.NotEqual(0)},
		// The limit of core files stays what it is: the value that keeps even a
		// program of the host's from being run for them.
		"setrlimit": seccomp.PerArg{is(unix.RLIMIT_CORE)},
		"prlimit64": seccomp.PerArg{seccomp.AnyValue{}, is(unix.RLIMIT_CORE), seccomp.NotEqual(0)},
	} {
		if number, known := table.SyscallNames[name]; known {
			rules.Set(uintptr(number), rule)
		}
	}
	return rules
}

// setSignal is F_SETSIG of fcntl(2), with which the kernel sends a signal of
// one's choice in its own name.
const setSignal = 10

// terminals are the requests by which a program puts words into the mouth of
// who reads its terminal, or swaps the code behind it.
func terminals() seccomp.SyscallRule {
	const tioclinux = 0x541c // ioctl_console(2)
	var requests seccomp.Or
	for _, request := range []uintptr{unix.TIOCSTI, tioclinux, unix.TIOCSETD} {
		requests = append(requests, seccomp.PerArg{seccomp.AnyValue{}, is(request)})
	}
	return requests
}

// faults are the signals that the kernel sends for a fault of the receiver. One
// that claims to be such would end the agent: no Go program handles a fault
// that it has not made.
func faults(argument int) seccomp.SyscallRule {
	var signals seccomp.Or
	for _, s := range []unix.Signal{unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS, unix.SIGSTKFLT} {
		rule := seccomp.PerArg{seccomp.AnyValue{}, seccomp.AnyValue{}, seccomp.AnyValue{}}
		rule[argument] = is(uintptr(s))
		signals = append(signals, rule)
	}
	return signals
}
