package supervision

import (
	"log/slog"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// Options are the settings of the sessions. The zero value is ready.
type Options struct {
	Logger  *slog.Logger  // nil discards
	Meter   sandbox.Meter // nil counts nothing
	Session actors.Options

	Templates       []sandbox.Template // the built-in ones
	Flavors         []sandbox.Flavor   // the built-in ones
	DefaultTemplate string             // the first of Templates
	DefaultFlavor   string             // the first of Flavors

	MaxSessions int   // 0 follows from the host's memory and supplies
	MaxMemoryMB int64 // of the sum of flavors; 0 lets the host's free memory decide
	MaxCPUs     int   // of the sum of flavors; 0 for no limit
	MaxOwned    int   // sessions of one owner; 0 for no limit but those of all
	HostCPUs    int   // 0 is unknown
	// HostMemory returns the memory of the host, or of the container that the
	// daemon is in, in bytes. It must not block. nil: unknown, nothing is refused for it.
	HostMemory func() (total, available int64)
	// Supplies returns what else the host has a fixed number of. It must not
	// block. nil: unknown, nothing is refused for it.
	Supplies func() []sandbox.Supply
	// Connections are those that clients may have, each a descriptor. They are
	// set aside when MaxSessions follows from the host.
	Connections int

	NoEviction     bool          // refuse rather than end an idle session
	AdmissionQueue int           // sessions that wait to be made; 256
	AdmissionWait  time.Duration // how long; 10 s, below 0 not at all

	IdleTimeout   time.Duration // from the end of the last call; 30 min
	SweepInterval time.Duration // between looks for idle sessions; 60 s

	// FreezeAfter is how long a session is idle before what it has running is
	// paused; 0 is never. FreezeReclaim takes back then what memory it can go
	// without.
	FreezeAfter   time.Duration
	FreezeReclaim bool

	ActorRestarts   int           // of a session's actor within Window; 5
	SandboxRestarts int           // of a session's sandbox within Window; 5
	Window          time.Duration // 10 min
	Backoff         time.Duration // before the first restart; doubles; 50 ms
	MaxBackoff      time.Duration // 5 s

	CreateLimit  time.Duration // of making one sandbox; 60 s
	DestroyLimit time.Duration // of one try to destroy one; 30 s
	Destroyers   int           // sandboxes destroyed side by side; 16

	LogBytes  int // bytes of events that the daemon's log keeps; 8 MiB
	LogEvents int // events that it keeps; 32768
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = sandbox.NoMeter{}
	}
	if o.Session.Meter == nil {
		o.Session.Meter = o.Meter
	}
	if o.Session.Logger == nil {
		o.Session.Logger = o.Logger
	}
	if len(o.Templates) == 0 {
		o.Templates = sandbox.Templates()
	}
	if len(o.Flavors) == 0 {
		o.Flavors = sandbox.Flavors()
	}
	if o.DefaultTemplate == "" {
		o.DefaultTemplate = o.Templates[0].Name
	}
	if o.DefaultFlavor == "" {
		o.DefaultFlavor = o.Flavors[0].Name
	}
	if o.AdmissionWait == 0 {
		o.AdmissionWait = 10 * time.Second
	}
	orElse(&o.AdmissionQueue, 256)
	orElse(&o.IdleTimeout, 30*time.Minute)
	orElse(&o.SweepInterval, time.Minute)
	orElse(&o.ActorRestarts, 5)
	orElse(&o.SandboxRestarts, 5)
	orElse(&o.Window, 10*time.Minute)
	orElse(&o.Backoff, 50*time.Millisecond)
	orElse(&o.MaxBackoff, 5*time.Second)
	orElse(&o.CreateLimit, time.Minute)
	orElse(&o.DestroyLimit, 30*time.Second)
	orElse(&o.Destroyers, 16)
	orElse(&o.LogBytes, 8<<20)
	orElse(&o.LogEvents, 32768)
	return o.fitted()
}

// fitted works out what follows from the host.
func (o Options) fitted() Options {
	total := o.total()
	if o.MaxSessions <= 0 {
		o.MaxSessions = derivedSessions(total, o.supplied())
	}
	capped := make([]sandbox.Flavor, len(o.Flavors))
	for i, f := range o.Flavors {
		capped[i] = capFlavor(f, o.HostCPUs, total)
	}
	o.Flavors = capped
	return o
}

// total is the memory of the host in bytes, or 0.
func (o Options) total() int64 {
	if o.HostMemory == nil {
		return 0
	}
	total, _ := o.HostMemory()
	return total
}

func orElse[T int | int64 | time.Duration](value *T, usual T) {
	if *value <= 0 {
		*value = usual
	}
}
