// Package bench holds the workloads that the daemon is measured with.
//
// It is a client of the public HTTP surface and knows nothing of the daemon's
// insides. Each workload is a function of a URL and returns a [Result]; none
// leaves a session behind. In the same run it measures what the machine can do
// at all, so that figures are ratios: a bare net/http server that answers JSON
// in this process, and a bare start of python3.
package bench
