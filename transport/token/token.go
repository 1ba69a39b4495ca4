// Package token keeps the bearer tokens of the daemon's clients in a file, in
// which only their hashes stand.
//
// A line of the file is a token:
//
//	<principal> <id> <hash> <date>
//
// Several tokens may name one principal, so that they can be changed one after
// the other. The token itself is seen once, when it is made.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// prefix begins every token, so that people and scanners of leaks know it.
const prefix = "swt_"

// The sizes of a token's parts in bytes. The secret cannot be guessed, so a
// plain hash keeps it, and checking costs next to nothing.
const (
	idSize     = 6
	secretSize = 32
)

// maxLength is more than any token of ours has.
const maxLength = 128

// An Entry is a token as the file has it.
type Entry struct {
	Principal sandbox.Principal
	ID        string // finds the entry; no secret
	Hash      [sha256.Size]byte
	Made      time.Time // the day
}

// New makes a token for a principal. The text is the token itself, which is not
// kept anywhere.
func New(p sandbox.Principal, now time.Time) (text string, e Entry, err error) {
	if err := checkPrincipal(string(p)); err != nil {
		return "", Entry{}, err
	}
	var random [idSize + secretSize]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:idSize])
	text = prefix + id + "_" + base64.RawURLEncoding.EncodeToString(random[idSize:])
	return text, Entry{Principal: p, ID: id, Hash: hash(text), Made: now.UTC()}, nil
}

func hash(text string) [sha256.Size]byte { return sha256.Sum256([]byte("sandwarden token\x00" + text)) }

// idOf returns the id within a token.
func idOf(text string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) > maxLength {
		return "", false
	}
	id, _, ok = strings.Cut(rest, "_")
	return id, ok && len(id) == hex.EncodedLen(idSize)
}

// matches compares in a time that does not depend on where they differ.
func (e *Entry) matches(text string) bool {
	h := hash(text)
	return subtle.ConstantTimeCompare(h[:], e.Hash[:]) == 1
}

const maxPrincipal = 128

// reserved begins the principals that namespaces of the microsandbox API are: a
// token for one would open it to who has no key.
const reserved = "msb:"

// checkPrincipal returns what is wrong with the name of a principal.
func checkPrincipal(name string) error {
	if strings.HasPrefix(name, reserved) {
		return &sandbox.Error{
			Op: "token", Kind: sandbox.Invalid,
			Detail: fmt.Sprintf("%.40q is kept for a namespace of the microsandbox API", name),
			Remedy: "choose a name that does not begin with " + reserved + "; keys of namespaces are made by sandwarden keygen",
		}
	}
	ok := name != "" && len(name) <= maxPrincipal && !strings.ContainsRune("._:@-", rune(name[0]))
	if ok && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:@-") == "" {
		return nil
	}
	return &sandbox.Error{
		Op: "token", Kind: sandbox.Invalid,
		Detail: fmt.Sprintf("%.40q cannot name who has a token", name),
		Remedy: fmt.Sprintf("use 1 to %d of the characters A-Z a-z 0-9 . _ : @ -, and begin with a letter or a digit", maxPrincipal),
	}
}

// format writes an entry as a line.
func (e *Entry) format() string {
	return fmt.Sprintf("%s %s sha256:%s %s\n", e.Principal, e.ID, hex.EncodeToString(e.Hash[:]), e.Made.Format(time.DateOnly))
}

// parse reads the lines of a file.
func parse(text string) ([]Entry, error) {
	var all []Entry
	seen := map[string]bool{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseLine(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", number, err)
		case seen[e.ID]:
			return nil, fmt.Errorf("line %d: the id %s is there twice", number, e.ID)
		case len(all) >= maxEntries:
			return nil, fmt.Errorf("more than %d tokens", maxEntries)
		}
		seen[e.ID] = true
		all = append(all, e)
	}
	return all, nil
}

// parseLine reads one entry. What it says of a fault has nothing of the line,
// in which somebody may have put a token by mistake.
func parseLine(line string) (e Entry, err error) {
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return e, fmt.Errorf("want a principal, an id, a hash and a day, got %d fields", len(fields))
	}
	switch {
	case strings.HasPrefix(fields[0], reserved):
		return e, errors.New("the principal begins with " + reserved + ", which is kept for namespaces of the microsandbox API")
	case checkPrincipal(fields[0]) != nil:
		return e, errors.New("the principal is not a name")
	}
	e.Principal, e.ID = sandbox.Principal(fields[0]), fields[1]
	if id, err := hex.DecodeString(e.ID); err != nil || len(id) != idSize {
		return e, errors.New("the id is not one of a token")
	}
	digest, ok := strings.CutPrefix(fields[2], "sha256:")
	sum, err := hex.DecodeString(digest)
	if !ok || err != nil || len(sum) != len(e.Hash) {
		return e, fmt.Errorf("the hash is not sha256: and %d hexadecimal digits", hex.EncodedLen(len(e.Hash)))
	}
	copy(e.Hash[:], sum)
	if e.Made, err = time.Parse(time.DateOnly, fields[3]); err != nil {
		return e, errors.New("the day is not one, as 2026-01-31")
	}
	return e, nil
}
