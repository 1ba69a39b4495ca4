package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// maxTransfers is how many operations on files a sandbox does at once.
const maxTransfers = 8

// testFiles checks the operations on files.
func testFiles(t *testing.T, b sandbox.Backend, template sandbox.Template) {
	spec := sandbox.Spec{Session: "files", Template: template, Flavor: sandbox.Flavors()[0]}
	testBoxes(t, b, spec, fileTests())
	testBoxes(t, b, spec, commandFileTests())
	narrow := spec
	narrow.Flavor = tight()
	for name, test := range fullDiskTests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs(t, b, "disk")
			test(t, NewBox(t, b, narrow))
		})
	}
}

// fileTests are those that need no commands.
func fileTests() map[string]func(*testing.T, *Box) {
	return map[string]func(*testing.T, *Box){
		"bytes come back as they were written": fileBytes,
		"writing behind, and only what is new": fileFlags,
		"ranges":                               fileRanges,
		"stat":                                 fileStat,
		"list":                                 fileList,
		"remove":                               fileRemove,
		"mkdir":                                fileMkdir,
		"what cannot be":                       fileRefusals,
		"a tree packed and unpacked":           fileTree,
		"a read-only tree unpacked":            fileSealed,
		"an archive that is none":              fileBadArchives,
		"nothing is unpacked elsewhere":        fileEscapes,
		"a large file":                         fileLarge,
		"so many at once":                      fileMany,
		"the end of the context ends it":       fileContext,
		"the order of calls":                   fileOrder,
		"files of a dead sandbox":              fileDead,
	}
}

// commandFileTests are those that look from inside too.
func commandFileTests() map[string]func(*testing.T, *Box) {
	return map[string]func(*testing.T, *Box){
		"commands see the same files":    fileCommands,
		"pipes and devices do not hang":  filePipes,
		"symlinks":                       fileSymlinks,
		"odd files are left out of tar":  fileOddPack,
		"names that are no text":         fileNames,
		"the rights are those of inside": fileRights,
	}
}

// fullDiskTests are those for a flavor's limit of the disk, in a tight one.
func fullDiskTests() map[string]func(*testing.T, *Box) {
	return map[string]func(*testing.T, *Box){
		"a full disk":                 fileFullDisk,
		"a full disk while unpacking": fileFullUnpack,
	}
}

// Files does one operation with the bytes that it takes, and returns those that
// it gives.
func (b *Box) Files(t *testing.T, r sandbox.FileRequest, in []byte) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	x, err := b.Transfer(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := x.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	if r.Takes() {
		if _, err := x.Write(in); err != nil {
			return nil, err
		}
		if err := x.CloseWrite(); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(x)
}

// Put writes a file.
func (b *Box) Put(t *testing.T, path, data string) {
	t.Helper()
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: path}, []byte(data)); err != nil {
		t.Fatalf("write %s: %v", path, err)
	}
}

// Get reads a file.
func (b *Box) Get(t *testing.T, path string) string {
	t.Helper()
	data, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: path}, nil)
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return string(data)
}

// infos does an operation that tells of files.
func (b *Box) infos(t *testing.T, r sandbox.FileRequest, in []byte) []sandbox.FileInfo {
	t.Helper()
	data, err := b.Files(t, r, in)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Op, r.Path, err)
	}
	var all []sandbox.FileInfo
	for lines := json.NewDecoder(bytes.NewReader(data)); ; {
		var info sandbox.FileInfo
		if err := lines.Decode(&info); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%s %s: %v in %q", r.Op, r.Path, err, data)
		}
		all = append(all, info)
	}
}

// refused checks that an operation fails with a kind.
func (b *Box) refused(t *testing.T, r sandbox.FileRequest, in []byte, want sandbox.Kind) {
	t.Helper()
	out, err := b.Files(t, r, in)
	if err == nil || sandbox.KindOf(err) != want {
		t.Errorf("%s %q: %.100q, %v; want %v", r.Op, r.Path, out, err, want)
	}
}

func fileBytes(t *testing.T, b *Box) {
	for name, data := range map[string]string{
		"text": "hello\n", "nothing": "", "bytes": "\x00\xff\n\r\xc3\x28", "/tmp/absolute": "there", "with space ö": "x",
	} {
		b.Put(t, name, data)
		if got := b.Get(t, name); got != data {
			t.Errorf("%s: got %q, want %q", name, got, data)
		}
	}
	b.Put(t, "text", "hi")
	if got := b.Get(t, "/work/./text"); got != "hi" {
		t.Errorf("a shorter one over a longer: %q", got)
	}
	info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: "script", Mode: 0o750}, []byte("#!"))
	if len(info) != 1 || info[0].Path != "/work/script" || info[0].Size != 2 || info[0].Mode != 0o750 || info[0].Type != sandbox.RegularFile {
		t.Errorf("writing told %+v", info)
	}
}

func fileFlags(t *testing.T, b *Box) {
	add := sandbox.FileRequest{Op: sandbox.FileWrite, Path: "log", Append: true}
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := b.Files(t, add, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	only := sandbox.FileRequest{Op: sandbox.FileWrite, Path: "log", Exclusive: true}
	b.refused(t, only, []byte("three"), sandbox.Conflict)
	if got := b.Get(t, "log"); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
	only.Path = "new"
	if _, err := b.Files(t, only, []byte("three")); err != nil {
		t.Error(err)
	}
}

func fileRanges(t *testing.T, b *Box) {
	b.Put(t, "digits", "0123456789")
	for _, c := range []struct {
		from, size int64
		want       string
	}{
		{0, 0, "0123456789"},
		{3, 0, "3456789"},
		{3, 4, "3456"},
		{-3, 0, "789"},
		{-3, 2, "78"},
		{-30, 2, "01"},
		{8, 50, "89"},
		{10, 0, ""},
		{99, 1, ""},
	} {
		got, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "digits", From: c.from, Size: c.size}, nil)
		if err != nil || string(got) != c.want {
			t.Errorf("from %d, %d bytes: %q, %v; want %q", c.from, c.size, got, err, c.want)
		}
	}
}

func fileStat(t *testing.T, b *Box) {
	before := time.Now().Add(-time.Minute)
	b.Put(t, "file", "12345")
	info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "file"}, nil)
	if len(info) != 1 || info[0].Path != "/work/file" || info[0].Type != sandbox.RegularFile || info[0].Size != 5 || info[0].Mode != 0o644 || info[0].Modified.Before(before) {
		t.Errorf("of a file: %+v", info)
	}
	info = b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "."}, nil)
	if len(info) != 1 || info[0].Path != "/work" || info[0].Type != sandbox.Directory {
		t.Errorf("of a directory: %+v", info)
	}
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "none"}, nil, sandbox.NotFound)
}

// paths does a list and returns its paths, with a + behind the last when there
// are others.
func (b *Box) paths(t *testing.T, r sandbox.FileRequest) string {
	t.Helper()
	var all []string
	for _, info := range b.infos(t, r, nil) {
		all = append(all, info.Path)
		if info.More {
			all = append(all, "+")
		}
	}
	return strings.Join(all, " ")
}

func fileList(t *testing.T, b *Box) {
	b.mkdir(t, "dir/sub")
	for _, name := range []string{"dir/b", "dir/a", "dir/sub/c"} {
		b.Put(t, name, "x")
	}
	b.mkdir(t, "empty")
	for _, c := range []struct {
		r    sandbox.FileRequest
		want string
	}{
		{sandbox.FileRequest{Path: "dir"}, "a b sub"},
		{sandbox.FileRequest{Path: "dir", Recursive: true}, "a b sub sub/c"},
		{sandbox.FileRequest{Path: "dir", Limit: 2}, "a b +"},
		{sandbox.FileRequest{Path: "dir", Limit: 3}, "a b sub"},
		{sandbox.FileRequest{Path: "dir", Recursive: true, Limit: 3}, "a b sub +"},
		{sandbox.FileRequest{Path: "empty"}, ""},
	} {
		c.r.Op = sandbox.FileList
		if got := b.paths(t, c.r); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.r, got, c.want)
		}
	}
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileList, Path: "none"}, nil, sandbox.NotFound)
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileList, Path: "dir/a"}, nil, sandbox.Invalid)
}

func (b *Box) mkdir(t *testing.T, path string) {
	t.Helper()
	if out, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileMkdir, Path: path}, nil); err != nil || len(out) > 0 {
		t.Fatalf("mkdir %s: %q, %v", path, out, err)
	}
}

func fileRemove(t *testing.T, b *Box) {
	b.mkdir(t, "dir")
	b.Put(t, "dir/file", "x")
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRemove, Path: "dir"}, nil, sandbox.Invalid)
	for _, r := range []sandbox.FileRequest{{Path: "dir/file"}, {Path: "dir"}} {
		r.Op = sandbox.FileRemove
		if _, err := b.Files(t, r, nil); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		b.refused(t, r, nil, sandbox.NotFound)
		r.Recursive = true
		b.refused(t, r, nil, sandbox.NotFound)
	}
	b.mkdir(t, "deep/deeper")
	b.Put(t, "deep/deeper/file", "x")
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileRemove, Path: "deep", Recursive: true}, nil); err != nil {
		t.Error(err)
	}
	b.Put(t, "kept", "x")
	for _, own := range []string{"/", "/work", "/tmp", ".", "", "../work", "/tmp/../work/"} {
		b.refused(t, sandbox.FileRequest{Op: sandbox.FileRemove, Path: own, Recursive: true}, nil, sandbox.Invalid)
	}
	if got := b.paths(t, sandbox.FileRequest{Op: sandbox.FileList}); got != "kept" {
		t.Errorf("%q is left", got)
	}
}

func fileMkdir(t *testing.T, b *Box) {
	b.mkdir(t, "a/b/c")
	b.mkdir(t, "a/b/c")
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileMkdir, Path: "private", Mode: 0o700}, nil); err != nil {
		t.Error(err)
	}
	info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileList, Recursive: true}, nil)
	modes := map[string]uint32{}
	for _, i := range info {
		modes[i.Path] = i.Mode
	}
	if want := "map[a:493 a/b:493 a/b/c:493 private:448]"; fmt.Sprint(modes) != want {
		t.Errorf("got %v, want %s", modes, want)
	}
	b.Put(t, "file", "x")
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileMkdir, Path: "file"}, nil, sandbox.Conflict)
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileMkdir, Path: "file/below"}, nil, sandbox.Invalid)
}

func fileRefusals(t *testing.T, b *Box) {
	b.mkdir(t, "dir")
	for _, r := range []sandbox.FileRequest{
		{Op: "chew", Path: "x"},
		{Op: sandbox.FileRead, Path: "a\x00b"},
		{Op: sandbox.FileRead, Path: strings.Repeat("x/", 4096)},
		{Op: sandbox.FileRead, Path: "x", Size: -1},
		{Op: sandbox.FileWrite, Path: "x", Mode: 0o4755},
		{Op: sandbox.FileList, Path: "dir", Limit: -1},
		{Op: sandbox.FileList, Path: "dir", Limit: sandbox.MaxEntries + 1},
		{Op: sandbox.FileRead, Path: "dir"},
		{Op: sandbox.FileWrite, Path: "dir"},
		{Op: sandbox.FileUnpack, Path: "file"},
	} {
		if r.Path == "file" {
			b.Put(t, "file", "x")
		}
		b.refused(t, r, nil, sandbox.Invalid)
	}
	for _, r := range []sandbox.FileRequest{
		{Op: sandbox.FileRead, Path: "none"},
		{Op: sandbox.FileRemove, Path: "none"},
		{Op: sandbox.FilePack, Path: "none"},
	} {
		b.refused(t, r, nil, sandbox.NotFound)
	}
	b.Put(t, "made/on the way/file", "x") // and so are folders not missed that can be made
	b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "made/on the way/file"}, nil)
}

func fileLarge(t *testing.T, b *Box) {
	data := make([]byte, 8<<20) // several times what is under way at once
	source := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(source.Uint32())
	}
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: "large"}, data); err != nil {
		t.Fatal(err)
	}
	if got := b.Get(t, "large"); got != string(data) {
		t.Errorf("%d bytes came back changed", len(got))
	}
	archive, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FilePack, Path: "large"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.mkdir(t, "copy")
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: "copy"}, archive); err != nil {
		t.Fatal(err)
	}
	if got := b.Get(t, "copy/large"); got != string(data) {
		t.Errorf("%d bytes were unpacked changed", len(got))
	}
}

// hold begins writes that stay open.
func (b *Box) hold(ctx context.Context, t *testing.T, n int) []sandbox.Transfer {
	t.Helper()
	var all []sandbox.Transfer
	for i := range n {
		x, err := b.Transfer(ctx, sandbox.FileRequest{Op: sandbox.FileWrite, Path: fmt.Sprintf("held%d", i)})
		if err != nil {
			t.Fatalf("transfer %d: %v", i, err)
		}
		all = append(all, x)
	}
	return all
}

func fileMany(t *testing.T, b *Box) {
	held := b.hold(t.Context(), t, maxTransfers)
	if _, err := b.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileStat, Path: "."}); sandbox.KindOf(err) != sandbox.Exhausted {
		t.Errorf("one more: %v, want exhausted", err)
	}
	for i, x := range held {
		if _, err := x.Write([]byte{byte('0' + i)}); err != nil {
			t.Fatal(err)
		}
		if err := x.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(x); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Get(t, fmt.Sprintf("held%d", i)); got != string(rune('0'+i)) {
			t.Errorf("file %d: %q", i, got)
		}
	}
}

func fileContext(t *testing.T, b *Box) {
	ctx, cancel := context.WithCancel(t.Context())
	held := b.hold(ctx, t, maxTransfers)
	time.AfterFunc(10*time.Millisecond, cancel)
	<-ctx.Done()
	for _, x := range held {
		if _, err := x.Write([]byte("late")); sandbox.KindOf(err) != sandbox.Canceled {
			t.Errorf("a write after the end: %v, want canceled", err)
		}
		if err := x.Close(); err != nil { // waits until it is ended
			t.Error(err)
		}
	}
	for _, x := range b.hold(t.Context(), t, maxTransfers) {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Transfer(ctx, sandbox.FileRequest{Op: sandbox.FileStat, Path: "."}); sandbox.KindOf(err) != sandbox.Canceled {
		t.Errorf("begun after the end: %v, want canceled", err)
	}
}

func fileOrder(t *testing.T, b *Box) {
	x := b.hold(t.Context(), t, 1)[0]
	defer x.Close()
	if _, err := x.Read(make([]byte, 10)); sandbox.KindOf(err) != sandbox.Invalid {
		t.Errorf("Read before CloseWrite: %v", err)
	}
	for range 2 {
		if err := x.CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	if _, err := x.Write([]byte("x")); sandbox.KindOf(err) != sandbox.Invalid {
		t.Errorf("Write after CloseWrite: %v", err)
	}
	if _, err := io.ReadAll(x); err != nil {
		t.Error(err)
	}
	b.Put(t, "file", "x")
	y, err := b.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileRead, Path: "file"})
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	if _, err := y.Write([]byte("x")); sandbox.KindOf(err) != sandbox.Invalid {
		t.Errorf("Write to a reading: %v", err)
	}
	if got, err := io.ReadAll(y); string(got) != "x" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func fileDead(t *testing.T, b *Box) {
	x := b.hold(t.Context(), t, 1)[0]
	if err := b.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Write([]byte("x")); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Write: %v, want stopped", err)
	}
	if err := x.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := b.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileStat, Path: "."}); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Transfer: %v, want stopped", err)
	}
}

// filesAndCode is for every template: the code of its kernel and transfers see
// the same files.
func filesAndCode(t *testing.T, b *Box) {
	var write, show string
	switch b.Language {
	case sandbox.Python:
		write, show = "open('from-code', 'w').write('made')", "print(open('given').read(), end='')"
	case sandbox.Node:
		write, show = "require('fs').writeFileSync('from-code', 'made')", "process.stdout.write(require('fs').readFileSync('given'))"
	case sandbox.Bash:
		write, show = "printf made > from-code", "cat given"
	}
	b.Put(t, "given", "put")
	if o := b.Code(t, show); !strings.HasPrefix(string(o.Stdout), "put") { // node shows a value too
		t.Errorf("code saw %q %q", o.Stdout, o.Stderr)
	}
	b.Code(t, write)
	if got := b.Get(t, "from-code"); got != "made" {
		t.Errorf("got %q", got)
	}
}

func fileCommands(t *testing.T, b *Box) {
	b.Put(t, "dir-less", "one\x00two")
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: "run", Mode: 0o755}, []byte("#!/bin/sh\necho ran by $(id -un)\n")); err != nil {
		t.Fatal(err)
	}
	if o := b.Shell(t, "cat dir-less; ./run; stat -c %U:%a dir-less run"); string(o.Stdout) != "one\x00tworan by sandbox\nsandbox:644\nsandbox:755\n" {
		t.Errorf("got %q %q", o.Stdout, o.Stderr)
	}
	o := b.Shell(t, "seq 1 100000 > numbers; cat numbers")
	if got := b.Get(t, "numbers"); got != string(o.Stdout) {
		t.Errorf("got %d bytes, want %d", len(got), len(o.Stdout))
	}
	o = b.Shell(t, "cat /proc/sys/kernel/hostname")
	if got := b.Get(t, "/proc/sys/kernel/hostname"); got != string(o.Stdout) || got == "" {
		t.Errorf("the host is named %q, and a command says %q", got, o.Stdout)
	}
}

func filePipes(t *testing.T, b *Box) {
	b.Shell(t, "mkfifo pipe")
	for _, path := range []string{"pipe", "/dev/zero", "/dev/null", "/dev/tty"} {
		b.refused(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: path}, nil, sandbox.Invalid)
		b.refused(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: path}, []byte("x"), sandbox.Invalid)
	}
	for _, op := range []sandbox.FileOp{sandbox.FileList, sandbox.FilePack, sandbox.FileUnpack} {
		b.refused(t, sandbox.FileRequest{Op: op, Path: "pipe"}, nil, sandbox.Invalid)
	}
	if info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "pipe"}, nil); len(info) != 1 || info[0].Type != sandbox.OtherFile {
		t.Errorf("got %+v", info)
	}
}

func fileSymlinks(t *testing.T, b *Box) {
	b.Shell(t, "echo -n x > file; ln -s file link; ln -s nowhere broken; mkdir dir; echo y > dir/y; ln -s dir to-dir; ln -s loop loop")
	info := b.infos(t, sandbox.FileRequest{Op: sandbox.FileStat, Path: "link"}, nil)
	if len(info) != 1 || info[0].Type != sandbox.Symlink || info[0].Target != "file" {
		t.Errorf("got %+v", info)
	}
	if got := b.Get(t, "link"); got != "x" {
		t.Errorf("got %q", got)
	}
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "broken"}, nil, sandbox.NotFound)
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "loop"}, nil, sandbox.Invalid)
	if got := b.paths(t, sandbox.FileRequest{Op: sandbox.FileList, Recursive: true}); got != "broken dir dir/y file link loop to-dir" {
		t.Errorf("got %q", got)
	}
	if _, err := b.Files(t, sandbox.FileRequest{Op: sandbox.FileRemove, Path: "to-dir", Recursive: true}, nil); err != nil {
		t.Error(err)
	}
	if got := b.Get(t, "dir/y"); got != "y\n" {
		t.Errorf("got %q", got)
	}
}

// zeros writes zeros into a transfer until it takes no more.
func zeros(x sandbox.Transfer, n int) error {
	piece := make([]byte, 1<<20)
	for range n {
		if _, err := x.Write(piece); err != nil {
			return err
		}
	}
	if err := x.CloseWrite(); err != nil {
		return err
	}
	_, err := io.ReadAll(x)
	return err
}

// overfull checks an error of a full disk, and that the sandbox goes on.
func (b *Box) overfull(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok || e.Kind != sandbox.Exhausted || e.Limit == nil || e.Limit.Resource != "disk" {
		t.Errorf("got %v, want a full disk", err)
	}
	if o := b.Shell(t, "echo alive > /work/alive && cat /work/alive"); string(o.Stdout) != "alive\n" {
		t.Errorf("afterwards: %q %q", o.Stdout, o.Stderr)
	}
	b.Put(t, "small", "fits")
}

func fileFullDisk(t *testing.T, b *Box) {
	x, err := b.Transfer(t.Context(), sandbox.FileRequest{Op: sandbox.FileWrite, Path: "big"})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	b.overfull(t, zeros(x, tight().DiskMB+8))
}

func filesLeft(infos []sandbox.FileInfo) []string {
	var all []string
	for _, i := range infos {
		all = append(all, i.Path+":"+string(i.Type))
	}
	slices.Sort(all)
	return all
}

func fileNames(t *testing.T, b *Box) {
	b.Shell(t, `touch "$(printf 'bad\377name')" "$(printf 'new\nline')" '<&">'`)
	got := filesLeft(b.infos(t, sandbox.FileRequest{Op: sandbox.FileList}, nil))
	want := []string{"<&\">:file", "bad\uFFFDname:file", "new\nline:file"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Put(t, "bad\xffname", "found")
	if o := b.Shell(t, "cat bad*"); string(o.Stdout) != "found" {
		t.Errorf("got %q", o.Stdout)
	}
}

func fileRights(t *testing.T, b *Box) {
	for _, path := range []string{"/x", "/usr/bin/x", "/etc/passwd", "/proc/1/environ"} {
		b.refused(t, sandbox.FileRequest{Op: sandbox.FileWrite, Path: path}, []byte("x"), sandbox.Invalid)
	}
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "/proc/1/environ"}, nil, sandbox.Invalid)
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRemove, Path: "/usr", Recursive: true}, nil, sandbox.Invalid)
	b.Shell(t, "mkdir shut; echo x > shut/x; chmod 0 shut")
	b.refused(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "shut/x"}, nil, sandbox.Invalid)
}
