package supervision

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/actors"
)

// A use counts who holds a session. The supervisor adds, and so does who finds the
// session without it; those who hold take away, anybody may look.
type use struct {
	holders atomic.Int64
	readers atomic.Int64 // who follows its events, or waits for its executions
	last    atomic.Int64 // when a hold ended last, in Unix nanoseconds
}

// busy tells whether anybody uses the session now.
func (u *use) busy() bool { return u.holders.Load() > 0 || u.readers.Load() > 0 }

// sealed is the count of holders of a session that is about to end because nobody
// holds it.
const sealed = -1 << 32

// seal lets nobody hold the session any more, unless somebody does already.
func (u *use) seal() bool { return u.holders.CompareAndSwap(0, sealed) }

// enter adds a holder, where there are fewer than most.
func (u *use) enter(most int64) bool {
	for {
		n := u.holders.Load()
		if n < 0 || n >= most {
			return false
		}
		if u.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// touch notes that somebody used it just now.
func (u *use) touch() { u.last.Store(time.Now().UnixNano()) }

// read notes that somebody reads, until the returned function is called.
func (u *use) read() (done func()) {
	u.readers.Add(1)
	return func() {
		u.touch()
		u.readers.Add(-1)
	}
}

func (u *use) lastUsed() time.Time { return time.Unix(0, u.last.Load()) }

// A hold keeps a session in use for one call. The caller makes it and releases
// it; the supervisor takes the session into it. A caller that gave up before
// the supervisor's answer leaves a hold that takes nothing more.
type hold struct {
	mu      sync.Mutex
	over    bool
	use     *use
	session *actors.Session
}

// take holds the session, unless the caller has gone.
func (h *hold) take(session *actors.Session, u *use) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.use != nil {
		return false
	}
	h.session, h.use = session, u
	u.holders.Add(1)
	return true
}

// enter holds the session of an entry, unless that is about to end or too many do.
func (h *hold) enter(session *actors.Session, u *use) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !u.enter(maxAskers) {
		return false
	}
	h.session, h.use = session, u
	return true
}

// abandoned tells whether the caller has gone.
func (h *hold) abandoned() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// release ends the hold. The time of the last use is set before the count
// falls, so that nobody sees an unused session with an old time.
func (h *hold) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.use != nil && !h.over {
		h.use.touch()
		h.use.holders.Add(-1)
	}
	h.over = true
}
