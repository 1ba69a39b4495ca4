package msb

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Sessions is what the API needs of the daemon.
type Sessions interface {
	Create(ctx context.Context, r sandbox.SessionRequest) (sandbox.Session, bool, error)
	Execute(ctx context.Context, r sandbox.ExecRequest) (sandbox.ExecResult, error)
	Signal(ctx context.Context, owner sandbox.Principal, id sandbox.ExecID, s sandbox.Signal) error
	List(ctx context.Context, q sandbox.SessionQuery) ([]sandbox.Session, error)
	Touch(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	Find(ctx context.Context, ref sandbox.Ref) (sandbox.Session, error)
	Stop(ctx context.Context, ref sandbox.Ref) error
}

// A Keeper knows the keys.
type Keeper interface {
	// Namespace returns the namespace that a key is for, "*" for all, or why it
	// is of no use. The key is without its prefix msb_.
	Namespace(key string) (string, error)
}

// Options are what an operator may set. The zero value is ready.
type Options struct {
	Logger   *slog.Logger    // nil discards
	Version  string          // of the daemon, as clients see it; default "dev"
	Instance string          // id of the daemon, for the health answer; none leaves it out
	Behind   func() []string // ids of the daemons that make our sandboxes, the nearest first; nil is none
	Keys     Keeper          // nil is the development mode: no key is needed; it can be changed later
	// Images are the templates that images stand for; default: the server's own
	// two.
	Images  map[string]string
	Volumes []sandbox.Volume // that every sandbox sees
	// Foreign returns why a request may not come in, in words for the client, or
	// "". It is asked in the development mode, where browsers could send pages of
	// strangers here. Nil lets all in.
	Foreign func(*http.Request) string
	// File keeps the configurations of sandboxes over a restart; empty: they are
	// forgotten with the daemon.
	File           string
	IdleTimeout    time.Duration // after which a sandbox that nobody uses is stopped; default 24 h
	StartTimeout   time.Duration // of a sandbox; default 180 s
	DefaultTimeout time.Duration // of calls that name none; default 300 s
	MaxTimeout     time.Duration // that a call may name; default 1800 s
	MaxBody        int64         // bytes of a request; default 2 MiB, as servers of the v0.2 line have it
	MaxCode        int           // bytes of code; default 1 MiB
	MaxOutput      int           // bytes of output in an answer; default 1 MiB, and never less
	MaxCalls       int           // requests in flight; default 4096
	MaxLarge       int           // of them, those with more than 64 KiB; default 64
	MaxSandboxes   int           // configurations that are kept; default 10000
	ReadTimeout    time.Duration // of a request's body; default 30 s
	WriteTimeout   time.Duration // of an answer; default 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Foreign == nil {
		o.Foreign = func(*http.Request) string { return "" }
	}
	if o.Behind == nil {
		o.Behind = func() []string { return nil }
	}
	if o.Images == nil {
		o.Images = map[string]string{"microsandbox/python": "python", "microsandbox/node": "node"}
	}
	set(&o.Version, "dev")
	set(&o.IdleTimeout, 24*time.Hour)
	set(&o.StartTimeout, 180*time.Second)
	set(&o.DefaultTimeout, 300*time.Second)
	set(&o.MaxTimeout, 1800*time.Second)
	set(&o.MaxBody, 2<<20)
	set(&o.MaxCode, 1<<20)
	o.MaxOutput = max(o.MaxOutput, 1<<20) // an agent's answers must fit (sandbox/agent/relay)
	set(&o.MaxCalls, 4096)
	set(&o.MaxLarge, 64)
	set(&o.MaxSandboxes, 10_000)
	set(&o.ReadTimeout, 30*time.Second)
	set(&o.WriteTimeout, 30*time.Second)
	o.DefaultTimeout = min(o.DefaultTimeout, o.MaxTimeout)
	return o
}

// set gives an option that is not set its default.
func set[T comparable](option *T, to T) {
	var zero T
	if *option == zero {
		*option = to
	}
}
