// Package filter makes the seccomp program that a sandbox's processes run
// under, its agent included.
//
// It is moby's default profile for a container without capabilities, less what
// a sandbox needs not and what reaches another process, with rules of our own
// where an argument decides. It answers EPERM to every call that it knows and
// refuses; ENOSYS to clone3, whose flags it cannot see, and to all that it does
// not know, so that the C library falls back to what it does know; and ends a
// process that calls by another architecture's convention.
//
// A filter does not know who calls. That a call is aimed at the caller itself
// shows only where that is spelled 0, so calls on a process or thread by its
// number are refused even where the number is the caller's own: they would
// reach the agent, which has the same uid.
package filter
