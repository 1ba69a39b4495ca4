package sandboxtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// archive makes a tar of members; content is that of files.
func archive(t *testing.T, members ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		content := strings.Repeat("x", int(m.Size))
		if err := w.WriteHeader(&m); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// contents tells an archive's members, one a line.
func contents(t *testing.T, data []byte) string {
	t.Helper()
	var all strings.Builder
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%c %s %o %s %q\n", head.Typeflag, head.Name, head.Mode, head.Linkname, content)
	}
}

func fileTree(t *testing.T, b *Box) {
	long := strings.Repeat("long/", 50) + strings.Repeat("n", 120)
	date := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	in := archive(
		t,
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o640, Size: 3, ModTime: date},
		tar.Header{Typeflag: tar.TypeDir, Name: "dir/", Mode: 0o711},
		tar.Header{Typeflag: tar.TypeReg, Name: "dir/run", Mode: 0o6755, Size: 700},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "dir/up", Linkname: "../a", Mode: 0o777},
		tar.Header{Typeflag: tar.TypeReg, Name: "no/parent", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "/usr/bin/env", Mode: 0o777},
		tar.Header{Typeflag: tar.TypeReg, Name: "ö", Mode: 0o600, Size: 1},
	)
	want := "0 a 640  \"xxx\"\n5 dir/ 711  \"\"\n0 dir/run 755  \"" + strings.Repeat("x", 700) + "\"\n2 dir/up 777 ../a \"\"\n" +
		"5 no/ 755  \"\"\n0 no/parent 644  \"\"\n2 out 777 /usr/bin/env \"\"\n0 ö 600  \"x\"\n"
	for range 2 { // also over what is there
		b.mkdir(t, "tree")
		if out, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "tree"}, in); err != nil || len(out) > 0 {
			t.Fatalf("unpack: %q, %v", out, err)
		}
		out, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FilePack, Path: "tree"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, out); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		in = out
	}
	if info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "tree/a"}, nil); len(info) != 1 || !info[0].Modified.Equal(date) {
		t.Errorf("modified %+v, want %v", info, date)
	}
	deep := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: long, Mode: 0o644, Size: 5})
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "."}, deep); err != nil {
		t.Error(err)
	}
	if got := b.Get(t, long); got != "xxxxx" {
		t.Errorf("got %q", got)
	}
}

// A directory that is read-only in the end can be filled before.
func fileSealed(t *testing.T, b *Box) {
	in := archive(
		t,
		tar.Header{Typeflag: tar.TypeDir, Name: "shut", Mode: 0o555},
		tar.Header{Typeflag: tar.TypeReg, Name: "shut/file", Mode: 0o444, Size: 2},
		tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "shut/file"},
	)
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack}, in); err != nil {
		t.Fatal(err)
	}
	if got := b.Get(t, "hard"); got != "xx" {
		t.Errorf("the hard link has %q", got)
	}
	if info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "shut"}, nil); len(info) != 1 || info[0].Mode != 0o555 {
		t.Errorf("got %+v", info)
	}
}

func fileBadArchives(t *testing.T, b *Box) {
	whole := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o644, Size: 5000})
	for name, data := range map[string][]byte{
		"no tar":         bytes.Repeat([]byte("nonsense"), 1000),
		"cut in a file":  whole[:2000],
		"cut in a block": whole[:300],
	} {
		_, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack}, data)
		if sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if got := b.paths(t, sandbox.FileRequest{Op: sandbox.FileList}); got != "" {
		t.Errorf("%q is left", got)
	}
	for name, data := range map[string][]byte{"no member": archive(t), "padding": append(whole, make([]byte, 1<<20)...), "nothing": nil} {
		if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack}, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func fileEscapes(t *testing.T, b *Box) {
	b.mkdir(t, "in")
	b.Put(t, "outside", "kept")
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: 4}
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for name, members := range map[string][]tar.Header{
		"dots":                   {file("../outside")},
		"dots within":            {file("a/../../outside")},
		"an absolute name":       {file("/work/outside")},
		"an absolute directory":  {{Typeflag: tar.TypeDir, Name: "/work/made"}},
		"through a symlink":      {link("up", ".."), file("up/outside")},
		"through an absolute":    {link("root", "/work"), file("root/outside")},
		"a directory through it": {link("root2", "/work"), {Typeflag: tar.TypeDir, Name: "root2/made", Mode: 0o755}},
		"a link through it":      {link("root3", "/work"), link("root3/made", "x")},
		"a hard link out":        {{Typeflag: tar.TypeLink, Name: "hard", Linkname: "../outside"}},
		"a hard link through":    {link("root4", "/work"), {Typeflag: tar.TypeLink, Name: "hard2", Linkname: "root4/outside"}},
	} {
		_, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "in"}, archive(t, members...))
		if sandbox.KindOf(err) != sandbox.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "in"}, archive(t, link("direct", "../outside"), file("direct"))); err != nil {
		t.Errorf("a file instead of a symlink: %v", err)
	}
	if got := b.paths(t, sandbox.FileRequest{Op: sandbox.FileList}); got != "in outside" || b.Get(t, "outside") != "kept" {
		t.Errorf("outside there is %q", got)
	}
}

func fileFullUnpack(t *testing.T, b *Box) {
	x, err := b.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "."})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	size := int64(tight().DiskMB+8) << 20
	w := tar.NewWriter(x)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "big", Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(w, endless{}, size)
	b.overfull(t, err)
}

// endless is zeros without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func fileOddPack(t *testing.T, b *Box) {
	b.Shell(t, "mkdir odd; cd odd; mkfifo pipe; echo -n x > file; ln -s /dev/null null; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"socket\")'")
	out, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FilePack, Path: "odd"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := contents(t, out), "0 file 644  \"x\"\n2 null 777 /dev/null \"\"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
