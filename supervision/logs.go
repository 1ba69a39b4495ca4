package supervision

import (
	"sync"
	"sync/atomic"

	"github.com/sandwarden/sandwarden/actors"
	"github.com/sandwarden/sandwarden/sandbox"
)

// shared is what the façade and the supervisor both see.
type shared struct {
	logs    logs
	waiting atomic.Int64 // sessions that wait for admission
}

// logs are the logs of all events of each owner. Each has its own, so that
// nobody sees even the number of another's events, or loses his own to them.
// There are at most as many as there were principals.
type logs struct {
	bytes, events int // that each keeps

	mu     sync.Mutex
	of     map[sandbox.Principal]*actors.Log
	closed bool
}

func newLogs(bytes, events int) logs {
	return logs{bytes: bytes, events: events, of: map[sandbox.Principal]*actors.Log{}}
}

// owned returns the log of an owner.
func (l *logs) owned(owner sandbox.Principal) *actors.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	log := l.of[owner]
	if log == nil {
		log = actors.NewLog(l.bytes, l.events)
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
