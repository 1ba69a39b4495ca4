package sandboxtest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// fakeFiles are the files of a fake sandbox. Symlinks are there, but nothing
// follows them.
type fakeFiles struct{ all map[string]*fakeFile } // by absolute path

// A fakeFile is one file.
type fakeFile struct {
	sandbox.FileInfo

	data []byte
}

func newFakeFiles() *fakeFiles {
	f := &fakeFiles{all: map[string]*fakeFile{}}
	for _, name := range []string{"/", "/work", "/tmp"} {
		f.put(name, sandbox.Directory, 0o755, nil)
	}
	return f
}

func (f *fakeFiles) put(name string, kind sandbox.FileType, mode uint32, data []byte) *fakeFile {
	file := &fakeFile{data: data, FileInfo: sandbox.FileInfo{
		Path: name, Type: kind, Mode: mode, Size: int64(len(data)), Modified: time.Now().UTC(),
	}}
	f.all[name] = file
	return file
}

func refusal(op sandbox.FileOp, kind sandbox.Kind, detail string) error {
	return &sandbox.Error{Op: string(op), Kind: kind, Detail: detail}
}

// can returns why an operation cannot be, as far as that shows before it.
func (f *fakeFiles) can(r *sandbox.FileRequest) error {
	name := r.Absolute()
	file := f.all[name]
	isDir := file != nil && file.Type == sandbox.Directory
	switch r.Op {
	case sandbox.FileMkdir:
		return nil
	case sandbox.FileWrite:
		switch {
		case isDir:
			return refusal(r.Op, sandbox.Invalid, "it is a directory")
		case file != nil && r.Exclusive:
			return refusal(r.Op, sandbox.Conflict, "there is such a file already")
		}
		return nil
	case sandbox.FileStat, sandbox.FileRead, sandbox.FileRemove, sandbox.FileList, sandbox.FilePack, sandbox.FileUnpack:
	}
	switch {
	case file == nil && r.Op == sandbox.FileUnpack: // its directory is made
		return nil
	case file == nil:
		return refusal(r.Op, sandbox.NotFound, "there is no such file")
	case isDir && r.Op == sandbox.FileRead, !isDir && (r.Op == sandbox.FileList || r.Op == sandbox.FileUnpack):
		return refusal(r.Op, sandbox.Invalid, "it is of another type")
	case r.Op == sandbox.FileRemove && isDir && !r.Recursive && len(f.below(name)) > 0:
		return refusal(r.Op, sandbox.Invalid, "the directory is not empty")
	}
	return nil
}

// below lists what is below a directory, name by name.
func (f *fakeFiles) below(dir string) []string {
	var all []string
	for name := range maps.Keys(f.all) {
		if strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") && name != dir {
			all = append(all, name)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) })
	return all
}

// do does an operation with the bytes that it takes.
func (f *fakeFiles) do(r *sandbox.FileRequest, in []byte) ([]byte, error) {
	if err := f.can(r); err != nil {
		return nil, err
	}
	name := r.Absolute()
	switch r.Op {
	case sandbox.FileRead:
		return piece(f.all[name].data, r.From, r.Size), nil
	case sandbox.FileWrite:
		return f.write(r, in)
	case sandbox.FileStat:
		return tell(f.all[name].FileInfo)
	case sandbox.FileList:
		return f.list(r)
	case sandbox.FileRemove:
		for _, gone := range append(f.below(name), name) {
			delete(f.all, gone)
		}
	case sandbox.FileMkdir:
		return nil, f.mkdir(r)
	case sandbox.FilePack:
		return f.pack(name)
	case sandbox.FileUnpack:
		return nil, f.unpack(name, in)
	}
	return nil, nil
}

func piece(data []byte, from, size int64) []byte {
	if from < 0 {
		from = max(0, int64(len(data))+from)
	}
	data = data[min(from, int64(len(data))):]
	if size > 0 {
		data = data[:min(size, int64(len(data)))]
	}
	return data
}

func tell(infos ...sandbox.FileInfo) ([]byte, error) {
	var out bytes.Buffer
	for _, info := range infos {
		if err := json.NewEncoder(&out).Encode(info); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func (f *fakeFiles) write(r *sandbox.FileRequest, in []byte) ([]byte, error) {
	name, mode := r.Absolute(), r.Mode
	if mode == 0 {
		mode = 0o644
	}
	if old := f.all[name]; old != nil {
		mode = old.Mode
		if r.Append {
			in = append(slices.Clone(old.data), in...)
		}
	}
	if err := f.parents(r.Op, path.Dir(name)); err != nil {
		return nil, err
	}
	return tell(f.put(name, sandbox.RegularFile, mode, in).FileInfo)
}

func (f *fakeFiles) list(r *sandbox.FileRequest) ([]byte, error) {
	limit := r.Limit
	if limit == 0 {
		limit = sandbox.UsualEntries
	}
	var infos []sandbox.FileInfo
	for _, name := range f.below(r.Absolute()) {
		info := f.all[name].FileInfo
		info.Path = strings.TrimPrefix(strings.TrimPrefix(name, r.Absolute()), "/")
		if strings.Contains(info.Path, "/") && !r.Recursive {
			continue
		}
		if len(infos) == limit {
			infos[limit-1].More = true
			break
		}
		infos = append(infos, info)
	}
	return tell(infos...)
}

func (f *fakeFiles) mkdir(r *sandbox.FileRequest) error {
	name, mode := r.Absolute(), r.Mode
	if mode == 0 {
		mode = 0o755
	}
	if file := f.all[name]; file != nil && file.Type != sandbox.Directory {
		return refusal(r.Op, sandbox.Conflict, "there is such a file already")
	}
	if err := f.parents(r.Op, path.Dir(name)); err != nil {
		return err
	}
	if f.all[name] == nil {
		f.put(name, sandbox.Directory, mode, nil)
	}
	return nil
}

// parents makes a directory and those above it.
func (f *fakeFiles) parents(op sandbox.FileOp, name string) error {
	if file := f.all[name]; file != nil {
		if file.Type != sandbox.Directory {
			return refusal(op, sandbox.Invalid, "it is of another type")
		}
		return nil
	}
	if err := f.parents(op, path.Dir(name)); err != nil {
		return err
	}
	f.put(name, sandbox.Directory, 0o755, nil)
	return nil
}

func (f *fakeFiles) pack(name string) ([]byte, error) {
	names, dir := f.below(name), name
	if f.all[name].Type != sandbox.Directory {
		names, dir = []string{name}, path.Dir(name)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range names {
		file := f.all[name]
		head := &tar.Header{
			Typeflag: tar.TypeReg, Name: strings.TrimPrefix(strings.TrimPrefix(name, dir), "/"), Mode: int64(file.Mode),
			Size: file.Size, ModTime: file.Modified, Linkname: file.Target,
		}
		switch file.Type {
		case sandbox.Directory:
			head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
		case sandbox.Symlink:
			head.Typeflag = tar.TypeSymlink
		case sandbox.RegularFile, sandbox.OtherFile:
		}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func (f *fakeFiles) unpack(dir string, in []byte) error {
	for r := tar.NewReader(bytes.NewReader(in)); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return refusal(sandbox.FileUnpack, sandbox.Invalid, "what came is not a whole tar archive")
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return refusal(sandbox.FileUnpack, sandbox.Invalid, "what came is not a whole tar archive")
		}
		if err := f.member(dir, head, content); err != nil {
			return err
		}
	}
}

func (f *fakeFiles) member(dir string, head *tar.Header, content []byte) error {
	if !filepath.IsLocal(head.Name) || head.Typeflag == tar.TypeLink && !filepath.IsLocal(head.Linkname) {
		return refusal(sandbox.FileUnpack, sandbox.Invalid, "the archive would write outside of the directory")
	}
	name, mode := path.Join(dir, head.Name), uint32(head.FileInfo().Mode().Perm())
	if name == dir {
		return nil
	}
	if err := f.parents(sandbox.FileUnpack, path.Dir(name)); err != nil {
		return err
	}
	file := &fakeFile{}
	switch head.Typeflag {
	case tar.TypeReg:
		file = f.put(name, sandbox.RegularFile, mode, content)
	case tar.TypeDir:
		file = f.put(name, sandbox.Directory, mode, nil)
	case tar.TypeSymlink:
		file = f.put(name, sandbox.Symlink, 0o777, nil)
		file.Target = head.Linkname
	case tar.TypeLink:
		other := f.all[path.Join(dir, head.Linkname)]
		if other == nil {
			return refusal(sandbox.FileUnpack, sandbox.Invalid, "a link leads nowhere")
		}
		file = f.put(name, other.Type, other.Mode, other.data)
	}
	if head.ModTime.Unix() != 0 {
		file.Modified = head.ModTime.UTC()
	}
	return nil
}
