package kernel

import "slices"

// Between returns the machine code that [Zygote] forks kernels by, for this machine, or
// nothing where there is none. It is
//
//	int between(int (*fork)(void), char *stack, int *groups, long rseq) {
//		int pid = clone(CLONE_VM | CLONE_VFORK | SIGCHLD);
//		if (pid != 0) return pid;                     // the zygote, or -errno
//		for (; *groups >= 0; groups++)                // from here on `stack`
//			if (pwrite(*groups, "0", 1, 0) < 0) exit(errno);
//		pid = fork();
//		if (pid != 0) exit(pid < 0 ? 255 : 0);
//		if (rseq) rseq(thread pointer + rseq, 32, 0, signature);
//		return 0;                                     // the kernel, on its copy of the old stack
//	}
//
// A kernel must be the child of its sandbox's PID 1, and so whoever forks it has to end.
// A child that is a fork of the zygote costs 0.7 ms for that, most of it for a copy of the
// zygote's memory that is thrown away at once. This one shares it, and does nothing with
// it: the zygote stands still meanwhile, on a stack that is not touched, which is more than
// an interpreter could promise.
func Between() []byte { return slices.Clone(between) }
