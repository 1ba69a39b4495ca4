package supervision

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// shared is what the façade and the supervisor both see.
type shared struct {
	logs    logs
	waiting atomic.Int64 // sessions that wait for admission
	live    sync.Map     // of string, the id of an incarnation, to *resident
	entries sync.Map     // of sandbox.Ref to *entry; the supervisor writes
	leaving atomic.Bool  // sessions are left to the next daemon: not to be found is not to be gone
	// restored is closed when all sessions of an earlier daemon are taken over, or
	// have ended.
	restored chan struct{}
}

// A resident is a session that can be asked for its executions.
type resident struct {
	session *actors.Session
	use     *use
	owner   sandbox.Principal
}

// logs are the logs of all events of each owner. Each has its own, so that
// nobody sees even the number of another's events, or loses his own to them.
// There are at most as many as there were principals.
type logs struct {
	bytes, events int    // that each keeps
	first         uint64 // number of the first event

	mu     sync.Mutex
	of     map[sandbox.Principal]*actors.Log
	closed bool
}

func newLogs(bytes, events int) logs {
	return logs{bytes: bytes, events: events, first: uint64(time.Now().UnixMicro()), of: map[sandbox.Principal]*actors.Log{}}
}

// owned returns the log of an owner.
func (l *logs) owned(owner sandbox.Principal) *actors.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := l.of[owner]
	if log == nil {
		// Numbers of an earlier daemon are below, so that who comes back with one is
		// told what he missed.
		log = actors.NewLogFrom(l.first, l.bytes, l.events)
		l.of[owner] = log
		if l.closed {
			log.Close()
		}
	}
	return log
}

// close ends all of them.
func (l *logs) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, log := range l.of {
		log.Close()
	}
}
