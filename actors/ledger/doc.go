// Package ledger keeps on disk what a session must not forget: its events in
// their order, the executions that were asked for, and what they put out.
//
// A [Ledger] is one session's: a directory with a description of the session and
// a log in segments, to which entries are appended and which is read by the
// number of an event or by the offset of an execution's output. Its index is made
// by the same code from what is appended and from what an earlier daemon left,
// so there is one truth. A [Store] is all ledgers of a daemon, those of ended
// sessions included, with what they may take of the disk.
//
// Entries survive the end of the daemon, also a violent one: they are written
// before anybody is told. They are not synced, so a power failure may cost the
// newest; a log that ends within an entry is cut there, and a segment that cannot
// be read is set aside.
//
// Nothing here blocks longer than the disk does, and nothing is to be called
// from an actor's Receive but what says that it looks at memory alone.
package ledger
