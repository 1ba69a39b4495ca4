//go:build linux

package filter

import (
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/bpf"
	"gvisor.dev/gvisor/pkg/seccomp"
)

// What the program answers.
const (
	pass    = linux.SECCOMP_RET_ALLOW
	kill    = linux.SECCOMP_RET_KILL_PROCESS
	eperm   = linux.SECCOMP_RET_ERRNO | linux.BPFAction(unix.EPERM)
	enosys  = linux.SECCOMP_RET_ERRNO | linux.BPFAction(unix.ENOSYS)
	x32     = 0x40000000
	highBit = 1 << 32
)

// machine runs the program for a table of calls in an interpreter.
type machine struct {
	t       *testing.T
	table   *arch.Info
	program bpf.Program
}

func newMachine(t *testing.T, table *arch.Info, goarch string) machine {
	t.Helper()
	instructions, err := compile(table, goarch)
	if err != nil {
		t.Fatal(err)
	}
	program, err := bpf.Compile(instructions, true)
	if err != nil {
		t.Fatal(err)
	}
	return machine{t, table, program}
}

// ask returns the answer to a call by number.
func (m machine) ask(number int, auditArch uint32, args ...uint64) linux.BPFAction {
	m.t.Helper()
	data := linux.SeccompData{Nr: int32(number), Arch: auditArch}
	copy(data.Args[:], args)
	answer, err := bpf.Exec[bpf.NativeEndian](m.program, seccomp.DataAsBPFInput(&data, make([]byte, data.SizeBytes())))
	if err != nil {
		m.t.Fatal(err)
	}
	return linux.BPFAction(answer)
}

func (m machine) expect(want linux.BPFAction, name string, args ...uint64) {
	m.t.Helper()
	number, ok := m.table.SyscallNames[name]
	if !ok {
		m.t.Errorf("no system call %s", name)
		return
	}
	if got := m.ask(number, seccomp.LINUX_AUDIT_ARCH, args...); got != want {
		m.t.Errorf("%s%x: %v, want %v", name, args, got, want)
	}
}

// tables are those of both architectures. That of the other one is checked with
// the audit number of ours, which is all that the compiler takes from it.
func tables() map[string]*arch.Info {
	return map[string]*arch.Info{"amd64": arch.X86_64, "arm64": arch.AARCH64}
}

// The list of moby may change with an update: these must stay refused.
func TestProgram_Refuses(t *testing.T) {
	for goarch, table := range tables() {
		m := newMachine(t, table, goarch)
		for _, name := range refused() {
			if _, known := table.SyscallNames[name]; !known && goarch == "arm64" {
				continue // an old call that it never had
			}
			m.expect(eperm, name)
			m.expect(eperm, name, ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0))
		}
	}
}

// refused are the calls that no arguments make pass.
func refused() []string {
	return []string{
		"io_uring_setup", "io_uring_enter", "io_uring_register",
		"bpf", "userfaultfd", "perf_event_open", "keyctl", "add_key", "request_key",
		"mount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "pivot_root", "chroot",
		"setns", "unshare",
		"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module",
		"quotactl", "quotactl_fd", "open_by_handle_at", "name_to_handle_at", "fanotify_init",
		"move_pages", "migrate_pages", "mbind", "set_mempolicy", "get_mempolicy",
		"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
		"swapon", "swapoff", "syslog", "reboot", "acct", "iopl", "ioperm", "modify_ldt", "memfd_secret",
		"sethostname", "setdomainname", "settimeofday", "clock_settime", "vhangup", "lookup_dcookie",
		"lsm_set_self_attr", "lsm_get_self_attr", "nfsservctl", "_sysctl", "uselib", "ustat", "sysfs", "vserver",
	}
}

func TestProgram_DecidesByArguments(t *testing.T) {
	const (
		me, agent = 0, 1
		pointer   = 0x7fff00001000
		minus1    = 0xffffffff
		cloexec   = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	)
	for goarch, table := range tables() {
		m := newMachine(t, table, goarch)
		for _, flag := range []uint64{
			unix.CLONE_NEWNS, unix.CLONE_NEWUSER, unix.CLONE_NEWNET, unix.CLONE_NEWPID, unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWTIME,
		} {
			m.expect(eperm, "clone", flag)
			m.expect(eperm, "clone", highBit|flag|unix.CLONE_VM|uint64(unix.SIGCHLD))
		}
		m.expect(pass, "clone", uint64(unix.SIGCHLD))
		m.expect(pass, "clone", unix.CLONE_VM|unix.CLONE_VFORK|uint64(unix.SIGCHLD)) // posix_spawn, Go
		m.expect(pass, "clone", 0x3d0f00)                                            // pthread_create
		m.expect(pass, "clone", unix.CLONE_PIDFD|uint64(unix.SIGCHLD))
		m.expect(enosys, "clone3", pointer, 88)

		for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
			m.expect(pass, "socket", family, unix.SOCK_STREAM|cloexec, 0)
			m.expect(pass, "socket", highBit|family, unix.SOCK_STREAM, unix.IPPROTO_TCP)
			m.expect(pass, "socket", family, unix.SOCK_DGRAM|cloexec, unix.IPPROTO_UDP)
			m.expect(eperm, "socket", family, unix.SOCK_RAW, unix.IPPROTO_TCP)
			m.expect(eperm, "socket", family, unix.SOCK_RAW|cloexec, 0)
			for _, protocol := range []uint64{unix.IPPROTO_SCTP, unix.IPPROTO_MPTCP, unix.IPPROTO_UDPLITE, 115, highBit | unix.IPPROTO_SCTP} {
				m.expect(eperm, "socket", family, unix.SOCK_STREAM, protocol)
				m.expect(eperm, "socket", family, unix.SOCK_DGRAM, protocol)
			}
			m.expect(eperm, "socket", family, unix.SOCK_DCCP, 0)
			m.expect(eperm, "socketpair", family, unix.SOCK_STREAM, 0)
		}
		m.expect(pass, "socket", unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
		m.expect(pass, "socketpair", unix.AF_UNIX, unix.SOCK_STREAM|cloexec, 0)
		m.expect(pass, "socket", unix.AF_NETLINK, unix.SOCK_RAW|cloexec, unix.NETLINK_ROUTE)
		m.expect(eperm, "socket", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM)
		m.expect(eperm, "socket", unix.AF_NETLINK, unix.SOCK_RAW, highBit|unix.NETLINK_NETFILTER)
		for family := range uint64(64) {
			if !slices.Contains([]uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}, family) {
				m.expect(eperm, "socket", family, unix.SOCK_STREAM, 0)
				m.expect(eperm, "socket", family, unix.SOCK_RAW, 0)
				m.expect(eperm, "socketpair", family&^1, unix.SOCK_STREAM, 0)
			}
		}

		for _, request := range []uint64{unix.TIOCSTI, 0x541c, unix.TIOCSETD} {
			m.expect(eperm, "ioctl", 0, request)
			m.expect(eperm, "ioctl", 0, highBit|request, pointer)
		}
		m.expect(pass, "ioctl", 0, unix.TCGETS)
		m.expect(pass, "ioctl", 0, unix.TIOCGWINSZ)

		m.expect(pass, "personality", 0)
		m.expect(pass, "personality", minus1)
		m.expect(eperm, "personality", 8)
		m.expect(eperm, "personality", 0x0040000) // ADDR_NO_RANDOMIZE

		for _, pid := range []uint64{agent, 2, minus1, highBit | agent} {
			m.expect(eperm, "prlimit64", pid, unix.RLIMIT_CPU, pointer, 0)
			m.expect(eperm, "prlimit64", pid, unix.RLIMIT_CPU, 1<<40, 0)
			m.expect(pass, "prlimit64", pid, unix.RLIMIT_CPU, 0, pointer)
			m.expect(eperm, "setpriority", unix.PRIO_PROCESS, pid, 19)
			m.expect(eperm, "ioprio_set", 1, pid, 0)
			for _, name := range []string{"sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"} {
				m.expect(eperm, name, pid, 8, pointer)
			}
		}
		m.expect(pass, "prlimit64", me, unix.RLIMIT_NOFILE, pointer, pointer)
		m.expect(pass, "setpriority", unix.PRIO_PROCESS, me, 5)
		m.expect(pass, "ioprio_set", 1, me, 0)
		m.expect(pass, "sched_setaffinity", me, 8, pointer)
		// The caller's user and group are the agent's too.
		for _, which := range []uint64{unix.PRIO_PGRP, unix.PRIO_USER} {
			m.expect(eperm, "setpriority", which, me, 19)
			m.expect(eperm, "ioprio_set", which+1, me, 0)
		}
	}
}

func TestProgram_PassesWhatTheAgentNeeds(t *testing.T) {
	for goarch, table := range tables() {
		m := newMachine(t, table, goarch)
		for _, name := range []string{
			"read", "write", "openat", "mkdirat", "unlinkat", "execve", "execveat", "waitid", "wait4", "kill", "tgkill",
			"pidfd_open", "pidfd_send_signal", "memfd_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "futex",
			"mmap", "munmap", "madvise", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "sched_yield", "sched_getaffinity",
			"getrandom", "prctl", "seccomp", "setsid", "setpgid", "dup3", "pipe2", "close_range", "rseq", "set_robust_list",
			"bind", "listen", "accept4", "connect", "sendmsg", "recvmsg", "setsockopt", "getsockopt", "clock_gettime", "nanosleep",
			"statx", "newfstatat", "fchmodat2", "copy_file_range", "sendfile", "inotify_init1", "timerfd_create", "eventfd2",
		} {
			if number, ok := lookUp(table, name); !ok || m.ask(number, seccomp.LINUX_AUDIT_ARCH) != pass {
				t.Errorf("%s: %s does not pass", goarch, name)
			}
		}
	}
}

func TestProgram_UnknownAndForeign(t *testing.T) {
	table, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, table, "amd64")
	for _, number := range []int{900, 10000, x32, x32 | 520, x32 | 1, -1} {
		if got := m.ask(number, seccomp.LINUX_AUDIT_ARCH); got != enosys {
			t.Errorf("call %#x: %v, want ENOSYS", number, got)
		}
	}
	for _, foreign := range []uint32{linux.AUDIT_ARCH_X86_64, linux.AUDIT_ARCH_AARCH64, 0x40000003, 0x40000028, 0} {
		if foreign != seccomp.LINUX_AUDIT_ARCH {
			if got := m.ask(1, foreign); got != kill {
				t.Errorf("architecture %#x: %v, want it killed", foreign, got)
			}
		}
	}
}

func TestProgram_IsSmall(t *testing.T) {
	program, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	// Attaching a long program costs, and the kernel takes 4096 instructions.
	if n := len(program) / 8; len(program)%8 != 0 || n < 50 || n > 400 {
		t.Errorf("%d bytes", len(program))
	}
	again, err := Program()
	if err != nil || !slices.Equal(program, again) {
		t.Errorf("a second program differs, %v", err)
	}
}

// No file gets a bit by which others run it as its owner, by whatever call.
func TestProgram_SetIDs(t *testing.T) {
	const pointer, at, suid, sgid = 0x7fff00001000, 3, 0o4755, 0o2755
	for goarch, table := range tables() {
		m := newMachine(t, table, goarch)
		for _, bits := range []uint64{suid, sgid, suid | highBit, 0o6777} {
			m.expect(eperm, "fchmod", at, bits)
			m.expect(eperm, "fchmodat", at, pointer, bits)
			m.expect(eperm, "mknodat", at, pointer, bits)
			m.expect(eperm, "openat", at, pointer, unix.O_CREAT|unix.O_WRONLY, bits)
			m.expect(eperm, "openat", at, pointer, unix.O_TMPFILE|unix.O_RDWR, bits)
			m.expect(pass, "openat", at, pointer, unix.O_RDONLY, bits) // the mode of a call that makes nothing is noise
			if goarch == "amd64" {
				m.expect(eperm, "chmod", pointer, bits)
				m.expect(eperm, "creat", pointer, bits)
				m.expect(eperm, "mknod", pointer, bits)
				m.expect(eperm, "open", pointer, unix.O_CREAT, bits)
			}
		}
		for _, plain := range []uint64{0o644, 0o755, 0o1777, 0} {
			m.expect(pass, "fchmod", at, plain)
			m.expect(pass, "fchmodat", at, pointer, plain)
			m.expect(pass, "openat", at, pointer, unix.O_CREAT|unix.O_EXCL, plain)
		}
		m.expect(enosys, "openat2", at, pointer, pointer, 24)
		if _, known := table.SyscallNames["fchmodat2"]; known {
			m.expect(eperm, "fchmodat2", at, pointer, suid)
		}
	}
}
