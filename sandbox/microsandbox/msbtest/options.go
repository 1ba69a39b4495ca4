package msbtest

import (
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A Dialect is a way in which servers of the v0.2 line speak.
type Dialect int

// The dialects. That of namespaces was released; that of projects was not.
const (
	Namespaces Dialect = iota // each call names a namespace, and lists are not null
	Projects                  // there are no namespaces, and null is an empty list
)

// Options say how a Server is. The zero value is ready.
type Options struct {
	Dialect Dialect
	Key     string // that clients must have, beginning with "msb_"; none in development mode
	Scope   string // the namespace that Key is for; empty is every one
	// PullDelay is how long it takes from a start until there is a sandbox, as
	// that of an image that is not here. A stop meanwhile stops nothing.
	PullDelay time.Duration
	// StartDelay is how long a sandbox takes from its start until commands run.
	StartDelay time.Duration
	// Verdict is what a start says. With one of a server that is not sure it
	// does not wait for StartDelay.
	Verdict Verdict
	// Images are what sandboxes can be made of; the defaults are the server's own.
	Images map[string]sandbox.Template
	DiskMB int // of a sandbox; 512
}

// A Verdict is how sure a server is that a sandbox it started runs.
type Verdict string

// The verdicts.
const (
	Started    Verdict = "Sandbox %s started successfully"
	TimedOut   Verdict = "Sandbox %s was started, but timed out waiting for it to be fully running. It may still be initializing."
	Unverified Verdict = "Sandbox %s was started, but couldn't verify it's running: Sandbox not found"
)

func (o Options) withDefaults() Options {
	if o.Verdict == "" {
		o.Verdict = Started
	}
	if o.DiskMB == 0 {
		o.DiskMB = 512
	}
	if o.Images == nil {
		o.Images = map[string]sandbox.Template{
			"microsandbox/python": {Name: "python", Language: sandbox.Python},
			"microsandbox/node":   {Name: "node", Language: sandbox.Node},
		}
	}
	return o
}
