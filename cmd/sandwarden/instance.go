package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// instanceSize is the number of random bytes in the id of an instance.
const instanceSize = 8

var instanceID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// instanceOf returns the id of the daemon that has a state directory, which
// outlives it: what it left at another server is known by it, and daemons that
// would ask each other in a circle are found by it.
func instanceOf(stateDir string, logger *slog.Logger) (string, error) {
	path := filepath.Join(stateDir, "instance")
	text, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(text)); err == nil && instanceID.MatchString(id) {
		return id, nil
	}
	switch {
	case err == nil:
		logger.Warn("the id of this instance is damaged, so it gets another", "file", path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot read the id of this instance: %w", err)
	}
	random := make([]byte, instanceSize)
	_, _ = rand.Read(random) // never fails
	id := hex.EncodeToString(random)
	if err := writeInstance(path, id); err != nil {
		return "", fmt.Errorf("cannot keep the id of this instance: %w", err)
	}
	return id, nil
}

// writeInstance writes the whole file or none of it.
func writeInstance(path, id string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".instance-*") // for its owner alone
	if err != nil {
		return err
	}
	_, err = f.WriteString(id + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
