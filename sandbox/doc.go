// Package sandbox defines what a sandbox is: the words that the rest of the
// daemon uses to speak of one, and the [Backend] that makes one.
//
// It has no behaviour beyond small questions about its own words, starts
// nothing, and imports nothing of ours. Everything else is an adapter to it
// (sandbox/native, …) or a user of it (actors, supervision, transport).
//
// # The words
//
// A sandbox is an isolated place with one agent inside. A session is what a
// client names and keeps: it owns one sandbox at a time, and gets a fresh one
// when its sandbox dies. An execution is one run of code or of a command. What
// an execution writes arrives as [Frame]s, in one order per sandbox; its last
// frame carries its [Exit]. That a program failed is an Exit, not an error.
package sandbox
