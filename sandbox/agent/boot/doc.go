// Package boot is what the daemon tells a sandbox's programs at their start: the
// one that builds the walls, and the agent that it becomes. It knows nothing of the
// protocol that the agent speaks, so that the first stays small: it starts once more
// for every sandbox.
package boot
