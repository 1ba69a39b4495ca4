// Package microsandbox makes sandboxes at a microsandbox server of the v0.2
// line, or at another sandwarden that serves its API.
//
// That API can start and stop sandboxes, run a command to its end, and feed
// lines to a REPL. Nothing in it streams, signals, takes input or moves a file,
// and its REPL breaks ordinary programs. So the daemon's own agent goes into each
// sandbox, in pieces, as arguments of commands, and every call to it is one more
// command (sandbox/agent/relay): executions have the same output to the byte,
// deadlines, signals, input, files and kernels as everywhere else. ADR 8 has the
// reasons.
//
// # Trust
//
// In such a sandbox the agent is an ordinary process, and the tenant may end it
// or answer in its place. That costs the tenant its own sandbox and nobody else
// anything: what comes is bounded and checked as from every agent. The server is
// the operator's, but what it says of itself is shown as a quotation.
//
// # The server comes and goes
//
// It may be down when the daemon starts, or later: calls are tried again where
// that is safe, which is everywhere, as every call to an agent is idempotent;
// new sessions are refused meanwhile, in words that say so. Sandboxes that live
// on are gone on with.
//
// # What is ours
//
// The names of our sandboxes begin with the id of this daemon's state directory.
// Others are never touched.
package microsandbox
