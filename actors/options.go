package actors

import (
	"log/slog"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Options are the settings of a session. The zero value is ready.
type Options struct {
	Logger *slog.Logger  // nil discards
	Meter  sandbox.Meter // nil counts nothing

	Queue     int           // executions that wait, code and commands each; 16
	Commands  int           // commands that run side by side; 8
	QueueWait time.Duration // the longest wait in the queue; 120 s

	Timeout     time.Duration // of a run that names none; 300 s
	CPULimit    time.Duration // processor time of a run; none when not above 0
	OutputLimit int64         // bytes of text of one execution that an answer may hold; 4 MiB
	SpillLimit  int64         // bytes of text kept of one execution on disk; 64 MiB
	Rich        int           // rich results kept of one execution; 64
	RichBytes   int64         // bytes of them; 4 MiB

	LogBytes  int // bytes of events that a session's log keeps; 1 MiB
	LogEvents int // events that it keeps; 4096

	Heed      time.Duration // from the interrupt of a cancelled run to its kill; 2 s
	Overdue   time.Duration // past the deadline, before the sandbox is given up; 5 s
	CallLimit time.Duration // of one call to a sandbox that is to answer at once; 30 s

	// Clock is the clock of deadlines, which the agents share: CLOCK_BOOTTIME.
	Clock func() time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = sandbox.NoMeter{}
	}
	if o.Clock == nil {
		o.Clock = boottime
	}
	orElse(&o.Queue, 16)
	orElse(&o.Commands, 8)
	orElse(&o.QueueWait, 120*time.Second)
	orElse(&o.Timeout, 300*time.Second)
	orElse(&o.OutputLimit, 4<<20)
	orElse(&o.SpillLimit, 64<<20)
	o.SpillLimit = max(o.SpillLimit, o.OutputLimit)
	orElse(&o.Rich, 64)
	orElse(&o.RichBytes, 4<<20)
	orElse(&o.LogBytes, 1<<20)
	orElse(&o.LogEvents, 4096)
	orElse(&o.Heed, 2*time.Second)
	orElse(&o.Overdue, 5*time.Second)
	orElse(&o.CallLimit, 30*time.Second)
	return o
}

func orElse[T int | int64 | time.Duration](value *T, usual T) {
	if *value <= 0 {
		*value = usual
	}
}
