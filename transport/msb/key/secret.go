package key

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// How many characters a secret has: as many as the signature has bytes, at
// least.
const (
	secretSize = 32
	maxSecret  = 4096
)

// alphabet is what secrets of the v0.2 line are made of.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// secretOf reads the secret of a file. It makes one when there is none: of two
// that do so at the same time both have that of the first.
func secretOf(path string) ([]byte, error) {
	secret, err := read(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault(path, "cannot be made", err)
	}
	return read(path)
}

// read returns what a file has, without the end of its line.
func read(path string) ([]byte, error) {
	if stat, err := os.Stat(path); err == nil && !stat.Mode().IsRegular() {
		return nil, fault(path, "is no file", errors.New("opening it could take for ever"))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	if stat.Mode().Perm()&0o077 != 0 { // who reads it makes keys
		return nil, fault(path, "can be read or written by others than its owner", errors.New("run: chmod 600 "+path))
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return nil, fault(path, "cannot be read", err)
	}
	secret := strings.TrimRight(string(data), "\r\n")
	switch {
	case len(data) > maxSecret:
		return nil, fault(path, "is no secret", fmt.Errorf("it is larger than %d bytes", maxSecret))
	case len(secret) < secretSize:
		return nil, fault(path, "is no secret", fmt.Errorf("it is shorter than %d characters: remove it, and another is made", secretSize))
	}
	return []byte(secret), nil
}

// create makes a file with a new secret, whole from its first moment.
func create(path string) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(folder, ".server-key-*") // for its owner alone
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(next.Name())) }()
	_, err = next.WriteString(newSecret())
	err = errors.Join(err, ownAs(next, folder), next.Sync(), next.Close())
	if err != nil {
		return err
	}
	return os.Link(next.Name(), path) // unlike a renaming it replaces nothing
}

// newSecret draws characters, each as likely as the others.
func newSecret() string {
	secret := make([]byte, 0, secretSize)
	for len(secret) < secretSize {
		var random [2 * secretSize]byte
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			if b &= 63; int(b) < len(alphabet) && len(secret) < secretSize {
				secret = append(secret, alphabet[b])
			}
		}
	}
	return string(secret)
}

func fault(path, what string, err error) error {
	text := err.Error()
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		text = of.Err.Error()
	}
	return &sandbox.Error{
		Op: "key", Kind: sandbox.Invalid, Detail: fmt.Sprintf("the file of the server's key %s %s: %s", path, what, text),
		Err: err,
	}
}
