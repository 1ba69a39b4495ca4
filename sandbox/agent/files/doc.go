// Package files is the helper that does one operation on the files of a
// sandbox: the agent's program, started again as a child of PID 1.
//
// It has the tenant's rights and is in the tenant's cgroup, so that it reaches
// nothing that code in the sandbox does not, and its pages are the tenant's.
// For the same reason nobody believes what it says without bounds.
package files
