package supervision

import (
	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/actors/ledger"
	"github.com/sandwarden/sandwarden/sandbox"
)

// A message is what the supervisor is asked or told. The types below are all
// there are, and only their pointers are messages.
//
//sumtype:decl
type message interface{ sessionsMessage() }

// open asks for the session of a name, which is made when there is none. The
// answer is *opened, and the session is in the hold.
type open struct {
	spec  sandbox.Spec
	asked sandbox.SessionRequest
	hold  *hold
}

// opened answers open.
type opened struct {
	session sandbox.Session
	created bool // for this asker
}

// stop asks for the end of a session. The answer is *stopped.
type stop struct{ ref sandbox.Ref }

// stopped answers stop: the sandbox is gone.
type stopped struct{}

// list asks for the sessions of an owner. The answer is *listed.
type list struct{ owner sandbox.Principal }

// listed answers list, in order of creation.
type listed struct{ found []found }

// find asks for one session. The answer is *found.
type find struct{ ref sandbox.Ref }

// found answers find. There is no actor while the session is being made.
type found struct {
	session sandbox.Session
	actor   *actors.Session
	use     *use
}

// count asks for the numbers. The answer is *sandbox.Overview.
type count struct{}

// tune asks for other limits. The answer is *tuned.
type tune struct{ opts Options }

// tuned answers tune.
type tuned struct{}

// drain asks for the end of all sessions or, with keep, for that of their actors
// alone. The answer is *drained.
type drain struct{ keep bool }

// drained answers drain: no sandbox is left, or none that is not to be kept.
type drained struct{}

// remain asks for the names of what is left. The answer is *remaining.
type remain struct{}

// remaining answers remain.
type remaining struct{ names []string }

// looked tells what the host has.
type looked struct {
	seen sight
	err  error
}

// created tells how the making of a sandbox ended.
type created struct {
	of     *slot
	box    sandbox.Sandbox // nil when there is none
	record *ledger.Ledger  // of a session that begins; nil when it failed
	err    error
}

// adopted tells how the taking over of a sandbox ended.
type adopted struct {
	of       *slot
	box      sandbox.Sandbox // nil when it failed; then the session has ended
	recalled actors.Recalled // what it runs
	err      error
}

// buried tells that all is written that the end of a session had to write.
type buried struct {
	of       *slot
	restored bool // it was one of an earlier daemon that had no actor here
}

// destroyed tells that a sandbox is gone, or that nobody tries any more.
type destroyed struct {
	of  *slot
	err error
}

// lost tells that a session gave up its sandbox. It may come twice.
type lost struct {
	of    *slot
	box   sandbox.Sandbox
	death sandbox.Death
}

// retry tells that it is time to give a session a fresh sandbox.
type retry struct{ of *slot }

// lapsed tells that a session has waited for admission as long as it may.
type lapsed struct{ of *slot }

// froze tells that a try to freeze a sandbox has ended.
type froze struct {
	of    *slot
	box   sandbox.Sandbox
	did   bool  // it was frozen, which it need not be any more
	freed int64 // bytes; 0 also when nothing was to be reclaimed
	err   error
}

// released tells that a session may have become idle while others wait.
type released struct{}

// tick is the time to look around. Its address is its generation.
type tick struct{ _ byte }

func (*open) sessionsMessage()      {}
func (*stop) sessionsMessage()      {}
func (*list) sessionsMessage()      {}
func (*find) sessionsMessage()      {}
func (*count) sessionsMessage()     {}
func (*tune) sessionsMessage()      {}
func (*drain) sessionsMessage()     {}
func (*remain) sessionsMessage()    {}
func (*created) sessionsMessage()   {}
func (*adopted) sessionsMessage()   {}
func (*buried) sessionsMessage()    {}
func (*destroyed) sessionsMessage() {}
func (*lost) sessionsMessage()      {}
func (*retry) sessionsMessage()     {}
func (*lapsed) sessionsMessage()    {}
func (*froze) sessionsMessage()     {}
func (*released) sessionsMessage()  {}
func (*looked) sessionsMessage()    {}
func (*tick) sessionsMessage()      {}
