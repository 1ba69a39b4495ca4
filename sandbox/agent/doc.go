// Package agent is what the daemon knows of the program that is PID 1 of a
// sandbox: how it is configured, and the client that speaks with it.
//
// The program itself is in the packages below: setup builds the walls and
// locks the door behind itself, guest runs the executions, files is the helper
// for operations on files, kernel holds the language drivers, wire is the
// protocol, and embedded carries the built program inside the daemon.
//
// # Life
//
// The daemon starts a smaller program, sandwarden-init, in new namespaces, and
// writes a boot.Config into its descriptor 3. It (setup) joins its cgroups,
// mounts, drops every right, and executes the agent from a sealed memory file.
// That (guest) listens on the socket that the daemon bound, and says so on the
// ready pipe. From there on the daemon speaks ttrpc with it through [Client]. The
// program outlives the daemon, for the orphan grace.
//
// Where the daemon speaks with the kernel by itself, the machine code of pause is
// executed instead. It executes the agent when the daemon connects, which then
// hands over the kernel ([Client.Take]). Such an agent installs its seccomp filter
// itself.
//
// # Versions
//
// The agents that a daemon finds may be of an earlier [Version]: it speaks with
// them, and says of what they cannot that it is unsupported. Before the version
// rises, the conversation with its agent is recorded into testdata, which the
// daemons to come are tested with:
//
//	make agent && go test ./sandbox/agent -run TestConversation -record
//
// # Trust
//
// Code in the sandbox runs under the agent's own user id. So nothing that the
// agent says is believed without bounds: see [Client.Follow] and
// [Client.Transfer].
package agent
