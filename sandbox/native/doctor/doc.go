// Package doctor finds out whether sandboxes of Linux namespaces can be made on
// this host, what of their protection and their number the host withholds, and
// what to do about it.
//
// It changes nothing that stays. It may be run by an ordinary user, and then
// says what that user gets.
package doctor
