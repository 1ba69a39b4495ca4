// Package supply reads what a host has a fixed number of: descriptors of the
// daemon, tasks, open files and namespaces. Admission keeps from running out of
// them, and the doctor says how to have more.
package supply
