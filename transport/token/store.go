package token

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// What a file may be.
const (
	maxEntries = 10_000
	maxFile    = 4 << 20
)

// A Store is the tokens of one file. Its methods may be called from many
// goroutines.
type Store struct {
	path string
	byID atomic.Pointer[map[string]*Entry]
}

// Open reads a file of tokens, which must be there. Kind Invalid: it is not
// what is expected, and the Detail says why.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	return s, s.Reload()
}

// Reload reads the file again. When it fails, all stays as it was.
func (s *Store) Reload() error {
	all, err := Read(s.path)
	if err != nil {
		return err
	}
	byID := make(map[string]*Entry, len(all))
	for i := range all {
		byID[all[i].ID] = &all[i]
	}
	s.byID.Store(&byID)
	return nil
}

// Len returns how many tokens there are.
func (s *Store) Len() int { return len(*s.byID.Load()) }

// Principal returns whose a token is. Its time tells whether there is a token
// of that id, which is no secret, and nothing of the rest.
func (s *Store) Principal(text string) (sandbox.Principal, bool) {
	id, ok := idOf(text)
	if !ok {
		return "", false
	}
	e := (*s.byID.Load())[id]
	if e == nil || !e.matches(text) {
		return "", false
	}
	return e.Principal, true
}

// Read returns the tokens of a file.
func Read(path string) ([]Entry, error) {
	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() {
		return nil, fault(path, "is no file", errors.New("opening it could take for ever"))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	defer func() { _ = file.Close() }()
	stat, err := file.Stat()
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	if stat.Mode().Perm()&0o022 != 0 {
		return nil, fault(path, "can be written by others than its owner", errors.New("run: chmod 600 "+path))
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	all, err := parse(string(data))
	if err != nil {
		return nil, fault(path, "is not a file of tokens", err)
	}
	return all, nil
}

func fault(path, what string, err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		err = of.Err
	}
	return &sandbox.Error{
		Op: "token", Kind: sandbox.Invalid, Detail: fmt.Sprintf("the file of tokens %s %s: %s", path, what, err),
		Remedy: "make one with: sandwarden token new NAME", Err: err,
	}
}

// Add makes a token for a principal, adds it to a file, which is made when it
// is not there, and returns its text.
func Add(path string, p sandbox.Principal, now time.Time) (string, error) {
	text, e, err := New(p, now)
	if err != nil {
		return "", err
	}
	return text, change(path, func(all []Entry) ([]Entry, error) {
		if len(all) >= maxEntries {
			return nil, &sandbox.Error{
				Op: "token", Kind: sandbox.Exhausted, Detail: fmt.Sprintf("there are %d tokens already", len(all)),
				Remedy: "revoke some",
			}
		}
		return append(all, e), nil
	})
}

// Revoke takes the token of an id out of a file, or all of a principal's. It
// returns how many there were.
func Revoke(path, which string) (revoked int, err error) {
	return revoked, change(path, func(all []Entry) ([]Entry, error) {
		left := slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return e.ID == which || string(e.Principal) == which })
		if revoked = len(all) - len(left); revoked == 0 {
			return nil, &sandbox.Error{
				Op: "token", Kind: sandbox.NotFound, Detail: fmt.Sprintf("no token has the id or the principal %.40q", which),
				Remedy: "run: sandwarden token list",
			}
		}
		return left, nil
	})
}

// header stands at the top of each file.
const header = "# Tokens of sandwarden's clients: principal, id, hash, day. Made by: sandwarden token new NAME\n"

// change writes a file anew, at once and whole. Two that change it at the same
// time do so one after the other.
func change(path string, how func([]Entry) ([]Entry, error)) (err error) {
	unlock, err := lock(path)
	if err != nil {
		return fault(path, "cannot be changed", err)
	}
	defer unlock()
	all, err := Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if all, err = how(all); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(header)
	for i := range all {
		b.WriteString(all[i].format())
	}
	if err := replace(path, b.String()); err != nil {
		return fault(path, "cannot be written", err)
	}
	return nil
}

// replace puts a text in the place of a file, with the owner and the rights of
// that one where there is one.
func replace(path, text string) (err error) {
	mode := fs.FileMode(0o600)
	before, statErr := os.Stat(path)
	if statErr == nil {
		mode = before.Mode().Perm()
	}
	next, err := os.CreateTemp(dirOf(path), ".tokens-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(next.Name())
		}
	}()
	_, err = next.WriteString(text)
	err = errors.Join(err, next.Chmod(mode))
	if statErr == nil {
		err = errors.Join(err, keepOwner(next, before))
	}
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), path)
}
