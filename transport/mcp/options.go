package mcp

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Sessions is what the tools need of the daemon.
type Sessions interface {
	Execute(ctx context.Context, r sandbox.ExecRequest) (sandbox.ExecResult, error)
	List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error)
	Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	Stop(ctx context.Context, ref sandbox.Ref) error
	Transfer(ctx context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error)
	Executions
}

// Executions is what the tools need of runs that outlive their calls.
type Executions interface {
	Start(ctx context.Context, r sandbox.ExecRequest) (sandbox.Execution, sandbox.Session, bool, error)
	Execution(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.Execution, error)
	ListExecutions(ctx context.Context, q sandbox.ExecQuery) ([]sandbox.Execution, error)
	Await(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.WaitQuery) (sandbox.Execution, error)
	Result(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID) (sandbox.ExecResult, error)
	ReadOutput(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, q sandbox.OutputQuery) (sandbox.OutputPage, error)
	Signal(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, s sandbox.Signal) error
	WriteStdin(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, offset uint64, data []byte) (int, error)
}

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger          *slog.Logger     // nil discards
	Version         string           // of the daemon, as clients see it
	Status          http.Handler     // answers GET where no stream is asked for; nil is 405
	MaxBody         int64            // bytes of a request; default 4 MiB
	MaxCode         int              // bytes of code or of a command; default 1 MiB
	MaxCalls        int              // requests in flight; default 4096
	MaxLarge        int              // bodies over 64 KiB that are read at once; default 16
	MaxSessions     int              // legacy sessions kept; default 10000
	SessionTTL      time.Duration    // a legacy session unused for longer is forgotten; default 24 h
	MaxStreams      int              // open GET streams; default 1024
	DefaultTimeout  time.Duration    // of calls that name none; default 300 s
	MaxTimeout      time.Duration    // that a call may name; default 1800 s
	SoftLimit       time.Duration    // of a call with a handshake, whose run goes on behind it; default 45 s
	DefaultTemplate string           // default "python"
	DefaultFlavor   string           // default "small"
	Templates       []string         // that calls may name; default: the built-in ones
	Flavors         []string         // that calls may name; default: the built-in ones
	Volumes         []sandbox.Volume // that every sandbox sees
	Heartbeat       time.Duration    // between signs of life on a silent stream; default 15 s
	WriteTimeout    time.Duration    // of each write to a client; default 30 s
	ReadTimeout     time.Duration    // of a request's body; default 30 s
	ProgressEvery   time.Duration    // the least time between progress notifications; default 100 ms
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	set(&o.Version, "dev")
	set(&o.MaxBody, 4<<20)
	set(&o.MaxCode, 1<<20)
	set(&o.MaxCalls, 4096)
	set(&o.MaxLarge, 16)
	set(&o.MaxSessions, 10_000)
	set(&o.SessionTTL, 24*time.Hour)
	set(&o.MaxStreams, 1024)
	set(&o.DefaultTimeout, 300*time.Second)
	set(&o.MaxTimeout, 1800*time.Second)
	set(&o.SoftLimit, 45*time.Second)
	set(&o.DefaultTemplate, "python")
	set(&o.DefaultFlavor, "small")
	set(&o.Heartbeat, 15*time.Second)
	set(&o.WriteTimeout, 30*time.Second)
	set(&o.ReadTimeout, 30*time.Second)
	set(&o.ProgressEvery, 100*time.Millisecond)
	o.DefaultTimeout = min(o.DefaultTimeout, o.MaxTimeout)
	if o.Templates == nil {
		for _, t := range sandbox.Templates() {
			o.Templates = append(o.Templates, t.Name)
		}
	}
	if o.Flavors == nil {
		for _, f := range sandbox.Flavors() {
			o.Flavors = append(o.Flavors, f.Name)
		}
	}
	return o
}

// set gives an option that is not set its default.
func set[T comparable](option *T, to T) {
	var zero T
	if *option == zero {
		*option = to
	}
}

// waitBeyond is how much longer get_execution may wait than a run is waited
// for: nothing is begun there that takes time, so clients hear in time still.
const waitBeyond = 5 * time.Second

// guideRules are the contract's: it lists two templates, though more work.
func (o Options) guideRules() rules {
	return rules{
		templates: o.Templates, templatesSaid: listed([]string{"python", "node"}),
		flavors: o.Flavors, flavorsSaid: listed(o.Flavors),
		maxCode: o.MaxCode, maxTimeout: int64(o.MaxTimeout / time.Second),
		maxWait: int64((o.SoftLimit + waitBeyond) / time.Second),
	}
}

// openRules are for the clients that are told everything.
func (o Options) openRules() rules {
	r := o.guideRules()
	r.templatesSaid, r.lenient = listed(o.Templates), true
	return r
}

// listed writes a list as the contract's messages have it.
func listed(names []string) string {
	return "['" + strings.Join(names, "', '") + "']"
}
