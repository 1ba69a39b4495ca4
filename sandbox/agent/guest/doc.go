// Package guest is the agent at work: PID 1 of a sandbox, which runs code and
// commands, keeps their output until the daemon has it, and reaps.
//
// Everything it starts is hostile and has its user id. What protects it: it
// cannot be traced (not dumpable), it lives in a cgroup of its own, it handles
// every signal, and the seccomp filter lets nobody change another process's
// limits.
package guest
