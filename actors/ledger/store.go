package ledger

import (
	"cmp"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Options bound what ledgers keep. The zero value is ready.
type Options struct {
	Logger       *slog.Logger  // nil discards
	Executions   int           // of one session that have ended; 256
	SessionBytes int64         // of one session's log; 128 MiB
	Age          time.Duration // since an execution or a session ended; 24 h
	TotalBytes   int64         // of all logs; 4 GiB
	FreeBytes    int64         // that output leaves free on the disk; 256 MiB
	SegmentBytes int64         // after which a log goes on in another file; 4 MiB, or an eighth of SessionBytes
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	orElse(&o.Executions, 256)
	orElse(&o.SessionBytes, 128<<20)
	orElse(&o.Age, 24*time.Hour)
	orElse(&o.TotalBytes, 4<<30)
	orElse(&o.FreeBytes, 256<<20)
	orElse(&o.SegmentBytes, min(4<<20, o.SessionBytes/8))
	return o
}

func orElse[T int | int64 | time.Duration](value *T, usual T) {
	if *value <= 0 {
		*value = usual
	}
}

// A Store is all ledgers of a daemon, until it is closed. Those of sessions that go on are below
// live, those of sessions that ended below ended, where they stay for a while.
type Store struct {
	dir  string
	opts Options

	total atomic.Int64 // bytes of logs
	// When room was last looked for, in Unix nanoseconds, and whether there was
	// none then.
	looked  atomic.Int64
	lacking atomic.Pointer[string]

	spares *spares

	finding sync.Mutex // held by who reads what is kept of an ended session: one at a time, as each takes memory

	mu       sync.Mutex // nobody waits for a disk while holding it
	loaded   bool
	left     []*Ledger          // of sessions that an earlier daemon left
	archives map[string]*Ledger // of ended sessions that were asked for lately
	recent   []string           // their ids, the latest last
}

// Open opens the store in a directory, which is made.
func Open(dir string, opts Options) (*Store, error) {
	s := &Store{dir: dir, opts: opts.withDefaults(), archives: map[string]*Ledger{}}
	for _, name := range []string{live, ended, broken} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, fault("open", err)
		}
	}
	var err error
	if s.spares, err = openSpares(filepath.Join(dir, spare)); err != nil {
		return nil, fault("open", err)
	}
	s.total.Store(sizeOf(dir))
	s.save()
	return s, nil
}

// Close ends what goes on by itself. Ledgers may be used on.
func (s *Store) Close() { s.spares.close() }

// The directories of a store.
const (
	live   = "live"
	ended  = "ended"
	broken = "broken" // what could not be read, for a person to look at
	spare  = "spare"  // of sessions to come
)

const infoFile = "session.json"

// Create begins the ledger of a new session.
func (s *Store) Create(info Info) (*Ledger, error) {
	dir := filepath.Join(s.dir, live, info.ID)
	if err := s.begin(dir, info); err != nil {
		return nil, fault("create", errors.Join(err, os.RemoveAll(dir)))
	}
	return s.ledger(dir, info), nil
}

func (s *Store) ledger(dir string, info Info) *Ledger {
	return &Ledger{store: s, info: info, dir: dir, runs: map[sandbox.ExecID]*Run{}, last: info.Created}
}

// Left returns the ledgers of the sessions that went on when the earlier daemon
// ended, the oldest first; the first call reads them. One that ended just before
// the daemon is put with those that ended, and one that cannot be read is set
// aside, with a line in the log.
func (s *Store) Left() ([]*Ledger, error) {
	s.mu.Lock()
	loaded, left := s.loaded, s.left
	s.mu.Unlock()
	if loaded {
		return left, nil
	}
	left, err := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded, s.left = err == nil, left
	return left, err
}

func (s *Store) read() ([]*Ledger, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, live))
	if err != nil {
		return nil, fault("open", err)
	}
	var all []*Ledger
	for _, entry := range entries {
		dir := filepath.Join(s.dir, live, entry.Name())
		l, err := s.load(dir)
		switch {
		case err != nil:
			s.setAside(dir, err)
		case l.stopped != "":
			l.Archive()
		default:
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *Ledger) int { return a.info.Created.Compare(b.info.Created) })
	return all, nil
}

// Conclude ends the sessions that an earlier daemon left, of which nothing is to
// be taken over any more.
func (s *Store) Conclude(cause sandbox.Cause, evidence string) error {
	left, err := s.Left()
	errs := []error{err}
	for _, l := range left {
		errs = append(errs, l.Conclude(cause, evidence))
		l.Archive()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = nil
	return errors.Join(errs...)
}

// setAside puts what cannot be read where nobody meets it again.
func (s *Store) setAside(dir string, why error) {
	err := os.Rename(dir, filepath.Join(s.dir, broken, filepath.Base(dir)))
	s.opts.Logger.Error("the record of a session cannot be read and was set aside", "record", filepath.Base(dir), "err", errors.Join(why, err))
}

// Find returns the ledger of a session that has ended. Kind NotFound.
func (s *Store) Find(id string) (*Ledger, error) {
	if l := s.kept(id); l != nil {
		return l, nil
	}
	if id == "" || len(id) > maxID || strings.ContainsAny(id, "/.\x00") {
		return nil, &sandbox.Error{Op: "find", Kind: sandbox.NotFound}
	}
	s.finding.Lock()
	defer s.finding.Unlock()
	if l := s.kept(id); l != nil { // somebody else asked for it just now
		return l, nil
	}
	l, err := s.load(filepath.Join(s.dir, ended, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &sandbox.Error{Op: "find", Kind: sandbox.NotFound, Err: err}
	}
	if err != nil {
		return nil, fault("find", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(id, l)
	return l, nil
}

// maxID is more than any id of a session has.
const maxID = 64

// kept returns a ledger of an ended session that is in memory, or nil.
func (s *Store) kept(id string) *Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.archives[id]
}

// maxArchives is how many ledgers of ended sessions are held in memory.
const maxArchives = 64

// keep is called with the mutex held.
func (s *Store) keep(id string, l *Ledger) {
	s.archives[id] = l
	s.recent = append(s.recent, id)
	if len(s.recent) > maxArchives {
		delete(s.archives, s.recent[0])
		s.recent = slices.Delete(s.recent, 0, 1)
	}
}

// Archive puts the ledger with those of sessions that ended.
func (l *Ledger) Archive() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.rest()
	l.aside = true
	to := filepath.Join(l.store.dir, ended, l.info.ID)
	if len(l.runs) == 0 { // there is nothing in it that anybody could ask for
		l.store.grew(-l.size())
		_ = os.RemoveAll(l.dir)
		return
	}
	if err := os.Rename(l.dir, to); err != nil {
		l.store.opts.Logger.Error("the record of a session could not be put aside", "session", l.info.Session, "err", err)
		return
	}
	_ = os.Chtimes(to, time.Time{}, time.Now()) // what Sweep counts from; a rename does not set it
	l.mu.Lock()
	l.dir = to
	l.mu.Unlock()
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.store.keep(l.info.ID, l)
}

// Discard takes a ledger away whose session never began.
func (l *Ledger) Discard() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.rest()
	l.aside = true
	l.store.grew(-l.size())
	_ = os.RemoveAll(l.dir)
}

// Sweep forgets ended sessions that are too old, and some of the others while all
// logs together are too large.
func (s *Store) Sweep(now time.Time) {
	entries, err := os.ReadDir(filepath.Join(s.dir, ended))
	if err != nil {
		return // the disk's trouble shows elsewhere
	}
	var all []past
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case err != nil: // it went just now
		case now.Sub(info.ModTime()) > s.opts.Age:
			s.remove(filepath.Join(s.dir, ended, entry.Name()), entry.Name())
		default:
			all = append(all, past{id: entry.Name(), at: info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b past) int { return a.at.Compare(b.at) })
	s.relieve(all)
}

// A past is an ended session as a sweep sees it.
type past struct {
	id    string
	at    time.Time
	owner sandbox.Principal
	size  int64
}

// relieve forgets ended sessions, the oldest first, while all logs together are
// too large: of the owner whose ended sessions take the most, so that nobody loses
// his to the many of another.
func (s *Store) relieve(all []past) {
	if s.total.Load() <= s.opts.TotalBytes {
		return
	}
	sizes := map[sandbox.Principal]int64{}
	for i := range all {
		dir := filepath.Join(s.dir, ended, all[i].id)
		info, _ := describe(dir) // one that cannot be read is nobody's
		all[i].owner, all[i].size = info.Owner, sizeOf(dir)
		sizes[info.Owner] += all[i].size
	}
	for len(all) > 0 && s.total.Load() > s.opts.TotalBytes {
		owner := slices.MaxFunc(slices.Collect(maps.Keys(sizes)), func(a, b sandbox.Principal) int { return cmp.Compare(sizes[a], sizes[b]) })
		i := slices.IndexFunc(all, func(p past) bool { return p.owner == owner })
		if i < 0 {
			delete(sizes, owner)
			continue
		}
		s.remove(filepath.Join(s.dir, ended, all[i].id), all[i].id)
		sizes[owner] -= all[i].size
		all = slices.Delete(all, i, i+1)
	}
}

func (s *Store) remove(dir, id string) {
	size := sizeOf(dir)
	if os.RemoveAll(dir) == nil {
		s.grew(-size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.archives, id)
	s.recent = slices.DeleteFunc(s.recent, func(other string) bool { return other == id })
}

func (s *Store) grew(n int64) { s.total.Add(n) }

// lookEvery is how long an answer to the question for room holds.
const lookEvery = time.Second

// Room returns nil when there is room to keep more, or an error of Kind NoSpace.
// It asks the disk once a second at most.
func (s *Store) Room() error {
	now := time.Now().UnixNano()
	if last := s.looked.Load(); now-last >= int64(lookEvery) || now < last {
		if s.looked.CompareAndSwap(last, now) {
			s.look()
		}
	}
	if why := s.lacking.Load(); why != nil {
		return noSpace(*why, nil)
	}
	return nil
}

// look asks the disk. It tries to write, as a disk that became read-only has
// room.
func (s *Store) look() {
	why := ""
	var disk unix.Statfs_t
	if s.total.Load() >= s.opts.TotalBytes {
		why = "the records of all sessions take what they may"
	} else if err := unix.Statfs(s.dir, &disk); err == nil && disk.Bavail < s.floor(&disk) {
		why = "the disk that keeps the records is nearly full"
	} else if err := s.probe(); err != nil {
		why = "the disk that keeps the records cannot be written"
	}
	before := s.lacking.Load()
	switch {
	case why == "":
		s.save()
		s.lacking.Store(nil)
		if before != nil {
			s.opts.Logger.Info("there is room for records again")
		}
	case before == nil || *before != why:
		s.lacking.Store(&why)
		s.opts.Logger.Error("no room for records: output is cut and new work refused", "why", why)
	}
}

// probe writes to the disk, to a file that stays: a new one each time would take the
// disk longer, the more were removed lately.
func (s *Store) probe() error {
	f, err := os.OpenFile(filepath.Join(s.dir, ".probe"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("."), 0)
	return errors.Join(err, f.Close())
}

// floor is what is to stay free, in blocks: on a small disk a twentieth.
func (s *Store) floor(disk *unix.Statfs_t) uint64 {
	return min(uint64(s.opts.FreeBytes)/max(uint64(disk.Bsize), 1), disk.Blocks/20) //nolint:gosec // neither is below 0
}

// reserved is the size in bytes of a file whose room is given up when the disk is
// full, so that the ends of executions can be written.
const reserved = 1 << 20

func (s *Store) reserve() string { return filepath.Join(s.dir, ".reserve") }

// save takes room for the reserve, if there is none.
func (s *Store) save() {
	if _, err := os.Stat(s.reserve()); errors.Is(err, fs.ErrNotExist) {
		_ = replace(s.reserve(), make([]byte, reserved)) // without it a full disk costs more
	}
}

// spend gives the reserve up, and tells whether there was one.
func (s *Store) spend() bool { return os.Remove(s.reserve()) == nil }

// suspect notes that a write failed: room is looked for at the next question.
func (s *Store) suspect() { s.looked.Store(0) }

func noSpace(why string, err error) error {
	return &sandbox.Error{
		Op: "record", Kind: sandbox.NoSpace, Detail: why,
		Remedy: "tell the operator to make room in the state directory; it goes on by itself then", Err: err,
	}
}

func fault(op string, err error) error {
	if _, ours := errors.AsType[*sandbox.Error](err); ours {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO) {
		return noSpace("the disk that keeps the records cannot be written", err)
	}
	return &sandbox.Error{Op: op, Kind: sandbox.Other, Err: err}
}

// replace writes a file in one step.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return os.Rename(path+".new", path)
}

// sizeOf is the size of all logs below a directory, as far as it can be told.
func sizeOf(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it ended just now
		}
		if info, err := entry.Info(); err == nil && strings.HasSuffix(entry.Name(), ".log") {
			size += info.Size()
		}
		return nil
	})
	return size
}
