// Package bench is the load harness of the daemon, as a command and as a
// library.
//
// It is a client of the public HTTP surface and knows nothing of the daemon's
// insides. Each workload is a function of [Options] and returns a [Result]; none
// leaves a session behind. Load comes from clients that wait for their answers,
// or on a schedule, where a latency counts from when a call was due. In the same
// run it measures what the machine can do at all, so that figures are ratios: a
// bare net/http server that answers JSON in this process, a warm Python over a
// pipe, a bare start of python3, and the sandboxes of others that are installed.
// [StartDaemon] starts a daemon for a run alone.
package bench
