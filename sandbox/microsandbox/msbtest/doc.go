// Package msbtest helps to test what speaks with a microsandbox server: it has
// one of the v0.2 line, whose sandboxes are those of a backend.
//
// The server is no ideal one. It answers with the statuses and the texts of the
// original and keeps its habits: whatever fails inside has one body without a
// reason, output comes in lines, a start goes on when its caller has gone, and
// Python code is typed into an interactive interpreter, where ordinary scripts
// break.
package msbtest
