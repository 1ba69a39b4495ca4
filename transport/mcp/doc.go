// Package mcp serves the Model Context Protocol over HTTP, in the dialects that
// clients in the field speak, on one URL.
//
// The guide dialect is a bare POST with one JSON answer, byte for byte as the
// wire contract has it; it stands beside the core of mcp-go. The legacy dialect
// is the initialize era of the protocol, up to revision 2025-11-25: there the
// core answers, and this package is its transport. Modern requests are told
// which revisions are served.
//
// # Ordering
//
// What belongs to a call is written to that call's own response: its progress
// in the order of the output, then its result, which is last. Nothing travels
// by a channel that two calls share.
//
// # Failure
//
// A dropped request stops its work, but in a legacy session, where the protocol
// wants it to go on, and not what has an idempotency key or is in the
// background. A cancelled notification stops it in any case. Past a soft limit a
// call with a handshake is answered while its work goes on, and so it is when
// [Handler.Shutdown] ends the call. A panic is answered with an internal error.
package mcp
