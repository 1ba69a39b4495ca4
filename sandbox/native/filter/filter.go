//go:build linux

package filter

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	moby "github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/bpf"
	"gvisor.dev/gvisor/pkg/seccomp"
)

// Program returns the program for this architecture as the kernel takes it: an
// array of struct sock_filter. Compiling takes some tens of milliseconds, so a
// daemon does it once.
func Program() ([]byte, error) {
	table, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("system calls of %s: %w", runtime.GOARCH, err)
	}
	instructions, err := compile(table, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return encode(instructions), nil
}

// compile makes the program from the calls that an architecture has.
func compile(table *arch.Info, goarch string) ([]bpf.Instruction, error) {
	if len(table.SyscallNames) == 0 {
		return nil, fmt.Errorf("no table of the system calls of %s", goarch)
	}
	refuse := seccomp.ReturnError.Code(uint16(unix.EPERM))
	program := seccomp.Program{
		RuleSets: []seccomp.RuleSet{ // the first that matches wins
			{Rules: refusedFirst(table), Action: refuse},
			{Rules: allowed(table, goarch), Action: seccomp.Allow},
			{Rules: others(table), Action: refuse},
		},
		Options: seccomp.ProgramOptions{
			DefaultAction: seccomp.ReturnError.Code(uint16(unix.ENOSYS)), // clone3, openat2, what is newer than the table, x32
			BadArchAction: seccomp.KillProcess,
		},
	}
	instructions, _, err := program.Build()
	return instructions, err
}

// encode lays instructions out as struct sock_filter, in the machine's order.
func encode(instructions []bpf.Instruction) []byte {
	raw := make([]byte, 0, 8*len(instructions))
	for _, i := range instructions {
		raw = binary.NativeEndian.AppendUint16(raw, i.OpCode)
		raw = append(raw, i.JumpIfTrue, i.JumpIfFalse)
		raw = binary.NativeEndian.AppendUint32(raw, i.K)
	}
	return raw
}

// allowed are the calls that pass: what moby allows to anyone, without those of
// withheld, and those of ours that pass by their arguments.
func allowed(table *arch.Info, goarch string) seccomp.SyscallRules {
	rules := seccomp.NewSyscallRules()
	ours := byArgument()
	for _, call := range moby.DefaultProfile().Syscalls {
		if !unconditional(call, goarch) {
			continue
		}
		for _, name := range call.Names {
			number, known := lookUp(table, name)
			if !known || ours[name] != nil || slices.Contains(withheld(), name) {
				continue
			}
			rules.Set(uintptr(number), seccomp.MatchAll{})
		}
	}
	for name, rule := range ours {
		if number, known := table.SyscallNames[name]; known {
			rules.Set(uintptr(number), rule)
		}
	}
	return rules
}

// lookUp finds the number of a call. The table calls arm64's newfstatat, which
// nothing runs without, by another name than moby.
func lookUp(table *arch.Info, name string) (number int, known bool) {
	if number, known = table.SyscallNames[name]; !known && name == "newfstatat" {
		number, known = table.SyscallNames["fstatat"]
	}
	return number, known
}

// unconditional reports whether moby allows calls to processes without
// capabilities, whatever the arguments.
func unconditional(call *moby.Syscall, goarch string) bool {
	if call.Action != specs.ActAllow || len(call.Args) > 0 {
		return false
	}
	if in := call.Includes; in != nil && (len(in.Caps) > 0 || len(in.Arches) > 0 && !slices.Contains(in.Arches, goarch)) {
		return false
	}
	out := call.Excludes
	return out == nil || len(out.Arches) == 0 || !slices.Contains(out.Arches, goarch)
}

// others are all calls that the table knows but clone3 and openat2: programs
// take only ENOSYS for an answer to those, and then do without.
func others(table *arch.Info) seccomp.SyscallRules {
	rules := seccomp.NewSyscallRules()
	for name, number := range table.SyscallNames {
		if name != "clone3" && name != "openat2" {
			rules.Set(uintptr(number), seccomp.MatchAll{})
		}
	}
	return rules
}
