//go:build linux

package filter

import (
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/seccomp"
)

// setIDs are the calls that would make a file whose user or group whoever runs
// it becomes. Inside that has no effect, but a file in a volume is the host's
// too, where it belongs to somebody else.
func setIDs() map[string]seccomp.SyscallRule {
	return map[string]seccomp.SyscallRule{
		"chmod":     withSetID(1),
		"fchmod":    withSetID(1),
		"fchmodat":  withSetID(2),
		"fchmodat2": withSetID(2),
		"creat":     withSetID(1),
		"mknod":     withSetID(1),
		"mknodat":   withSetID(2),
		"open":      creating(1),
		"openat":    creating(2),
	}
}

// withSetID are the calls with either bit in the mode that the argument of that
// number, at most 2, is.
func withSetID(mode int) seccomp.SyscallRule {
	return seccomp.Or{argument(mode, unix.S_ISUID), argument(mode, unix.S_ISGID)}
}

// creating are those with either bit in the mode that follows the flags, which
// counts only where they make a file.
func creating(flags int) seccomp.SyscallRule {
	var rules seccomp.Or
	for _, makes := range []uintptr{unix.O_CREAT, unix.O_TMPFILE &^ unix.O_DIRECTORY} {
		for _, bit := range []uintptr{unix.S_ISUID, unix.S_ISGID} {
			rule := argument(flags+1, bit)
			rule[flags] = seccomp.MaskedEqual(makes, makes)
			rules = append(rules, rule)
		}
	}
	return rules
}

// argument is a rule for a bit of one argument.
func argument(number int, bit uintptr) seccomp.PerArg {
	rule := seccomp.PerArg{}
	for i := range rule {
		rule[i] = seccomp.AnyValue{}
	}
	rule[number] = seccomp.MaskedEqual(bit, bit)
	return rule
}
