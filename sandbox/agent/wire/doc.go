// Package wire is the protocol between the daemon and the agent in a sandbox,
// generated from wire.proto by make proto.
package wire
