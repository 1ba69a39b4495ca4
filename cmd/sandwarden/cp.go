package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sandwarden/sandwarden/transport/client"
)

const cpUsage = `Usage:
  sandwarden cp SESSION:PATH LOCAL   take a file or a directory out of a session
  sandwarden cp LOCAL SESSION:PATH   put a file or a directory into one
  sandwarden cp SESSION:PATH -       print a file
  sandwarden cp - SESSION:PATH       write a file from standard input

A path inside that is relative begins at /work. What is copied to a directory
that is there goes into it, under its own name. A local name with a colon is
written with a slash before it: ./a:b.
`

func cpFlags() *pflag.FlagSet { return newRemote("cp", cpUsage).flags }

// A spot is a path here, or in a session.
type spot struct {
	session string // empty is here
	path    string
}

// spotOf reads a path as the command line has it.
func spotOf(arg string) spot {
	session, inside, ok := strings.Cut(arg, ":")
	if !ok || session == "" || strings.Contains(session, "/") {
		return spot{path: arg}
	}
	if inside == "" {
		inside = "/work"
	}
	return spot{session, inside}
}

// cp copies files and directories.
func (p *program) cp(ctx context.Context, args []string) error {
	r := newRemote("cp", cpUsage)
	rest, done, err := r.parse(p, args, 2)
	if err != nil || done {
		return err
	}
	from, to := spotOf(rest[0]), spotOf(rest[len(rest)-1])
	if len(rest) != 2 || (from.session == "") == (to.session == "") {
		return r.wrong("cp takes a path here and SESSION:PATH")
	}
	c, err := p.connect(r)
	if err != nil {
		return err
	}
	defer c.Close()
	k := &copying{p: p, client: c}
	if from.session != "" {
		err = k.out(ctx, from, to.path)
	} else {
		err = k.in(ctx, from.path, to)
	}
	if _, ok := errors.AsType[*client.Error](err); ok {
		return toldBy(err)
	}
	return err
}

// A copying is one call of cp.
type copying struct {
	p      *program
	client *client.Client
}

// A remoteFile is what a session tells of a file.
type remoteFile struct {
	Type string `json:"type"`
	Mode string `json:"mode"`
}

// stat tells of a file in a session; nil when there is none.
func (k *copying) stat(ctx context.Context, s spot) (*remoteFile, error) {
	var f remoteFile
	err := k.client.JSON(ctx, http.MethodGet, client.SessionPath(s.session)+"/files/stat", url.Values{"path": {s.path}}, nil, &f)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "FILE_NOT_FOUND_ERROR" {
		return nil, nil //nolint:nilnil // there is none, which is no failure
	}
	return &f, err
}

// out copies from a session.
func (k *copying) out(ctx context.Context, from spot, to string) error {
	f, err := k.stat(ctx, from)
	switch {
	case err != nil:
		return err
	case f == nil:
		return fmt.Errorf("there is no file %s in the session %s", plain(from.path), plain(from.session))
	case f.Type == "directory" && to == "-":
		return errors.New("a directory cannot be printed")
	case to == "-":
		return k.read(ctx, from, k.p.stdout)
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		base := path.Base(path.Clean(from.path))
		if !filepath.IsLocal(base) || base == "." {
			return fmt.Errorf("%s has no name of its own; name the file or directory here", plain(from.path))
		}
		to = filepath.Join(to, base)
	}
	if f.Type == "directory" {
		return k.outTree(ctx, from, to)
	}
	return k.outFile(ctx, from, to, f)
}

// read gives the bytes of a file.
func (k *copying) read(ctx context.Context, from spot, to io.Writer) error {
	body, err := k.client.Bytes(ctx, http.MethodGet, client.SessionPath(from.session)+"/files", url.Values{"path": {from.path}}, nil, 0)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read
	if _, err := io.Copy(to, body); err != nil {
		return fmt.Errorf("the copy broke off: %w", err)
	}
	return nil
}

// outFile makes the file under another name first: one that is there stays as it
// is when the copy breaks off.
func (k *copying) outFile(ctx context.Context, from spot, to string, f *remoteFile) (err error) {
	part, err := os.CreateTemp(filepath.Dir(to), ".sandwarden-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	err = k.read(ctx, from, part)
	if err := errors.Join(err, part.Chmod(k.mode(f.Mode)), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), to)
}

// mode is what a file may be here: what it was there, without what the user
// takes from all files, and without more than permissions.
func (*copying) mode(octal string) os.FileMode {
	bits, err := strconv.ParseUint(octal, 8, 32)
	if err != nil {
		bits = 0o644
	}
	return os.FileMode(bits) & 0o755
}

// outTree unpacks a directory.
func (k *copying) outTree(ctx context.Context, from spot, to string) error {
	body, err := k.client.Bytes(ctx, http.MethodGet, client.SessionPath(from.session)+"/files/tree", url.Values{"path": {from.path}}, nil, 0)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was read
	return unpackTree(body, to, k.p.complain)
}

// in copies into a session.
func (k *copying) in(ctx context.Context, from string, to spot) error {
	there, err := k.stat(ctx, to)
	if err != nil {
		return err
	}
	if there != nil && there.Type == "directory" || strings.HasSuffix(to.path, "/") {
		base := filepath.Base(from)
		if from == "-" || base == "." || base == ".." || base == string(filepath.Separator) {
			return fmt.Errorf("%s has no name of its own; name the file or directory inside", from)
		}
		to.path = path.Join(to.path, base)
	}
	if from == "-" {
		in, err := k.p.input(true)
		if err != nil {
			return err
		}
		return k.write(ctx, in, -1, to, "")
	}
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return k.inTree(ctx, from, to)
	}
	return k.inFile(ctx, from, info, to)
}

func (k *copying) inFile(ctx context.Context, from string, info os.FileInfo, to spot) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1
	}
	return k.write(ctx, f, size, to, "0"+strconv.FormatUint(uint64(info.Mode().Perm()), 8))
}

// write writes a file inside.
func (k *copying) write(ctx context.Context, in io.Reader, size int64, to spot, mode string) error {
	query := url.Values{"path": {to.path}}
	if mode != "" {
		query.Set("mode", mode)
	}
	if size == 0 {
		in = http.NoBody
	}
	return k.put(ctx, client.SessionPath(to.session)+"/files", query, in, size)
}

func (k *copying) put(ctx context.Context, where string, query url.Values, in io.Reader, size int64) error {
	body, err := k.client.Bytes(ctx, http.MethodPut, where, query, in, size)
	if err != nil {
		return err
	}
	return body.Close()
}

// inTree packs a directory while it is sent.
func (k *copying) inTree(ctx context.Context, from string, to spot) error {
	files := client.SessionPath(to.session) + "/files"
	if err := k.put(ctx, files+"/directory", url.Values{"path": {to.path}}, nil, 0); err != nil {
		return err
	}
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() { // ends with the pipe, which the request closes
		err := packTree(writer, from, k.p.complain)
		packed <- errors.Join(err, writer.CloseWithError(err))
	}()
	sent := k.put(ctx, files+"/tree", url.Values{"path": {to.path}}, reader, -1)
	_ = reader.Close() // also when the request never began
	err := <-packed
	if sent != nil && !errors.Is(err, io.ErrClosedPipe) && err != nil {
		return err // why the request broke off
	}
	return sent
}
