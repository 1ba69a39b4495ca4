// Package native makes sandboxes of Linux namespaces.
//
// A sandbox is one process tree in namespaces of its own, below the agent,
// which is its PID 1. It sees a read-only root made of the host's own files
// (see [Backend]), a /work and a /tmp of its own that are bounded in bytes and
// files, no network but loopback, and a kernel that answers only an allow-list
// of system calls. It runs as a user id of its own, without capabilities, in
// cgroups that bound its memory, tasks and processors.
//
// It shares the host's kernel and page cache: a bug there is a way out. For
// hostile tenants a stronger technique is needed.
//
// # What is where
//
// The state directory holds one record per sandbox, written before its agent
// starts. The runtime directory holds the sockets. All mounts live in a
// private mount namespace that one locked thread keeps (the nest): the host
// sees none of them, and they vanish with the daemon and the sandboxes.
package native
