// Package setup is the agent's first stage: with all its rights still, and no
// byte of a tenant yet, it builds the sandbox's walls around itself and then
// drops every right for good. Only the seccomp filter of an agent that starts late
// is left to that agent.
//
// It runs on one locked thread, because credentials, Landlock and seccomp are
// per thread; the exec at its end leaves only that thread.
package setup
