package transporttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// Transfer reads, writes and lists files in memory. It knows no directories, and
// a pack is the bytes of one file.
func (s *Sessions) Transfer(_ context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(ref); err != nil {
		return nil, err
	}
	if s.files == nil {
		s.files = map[sandbox.Ref]map[string][]byte{}
	}
	if s.files[ref] == nil {
		s.files[ref] = map[string][]byte{}
	}
	t := &transfer{sessions: s, files: s.files[ref], request: r}
	t.request.Path = path.Join("/work", r.Path)
	if path.IsAbs(r.Path) {
		t.request.Path = path.Clean(r.Path)
	}
	return t, nil
}

type transfer struct {
	sessions *Sessions
	files    map[string][]byte
	request  sandbox.FileRequest
	in       []byte
	out      io.Reader // nil until the operation is done
	err      error
}

// Read implements [sandbox.Transfer].
func (t *transfer) Read(p []byte) (int, error) {
	if t.out == nil {
		t.sessions.mu.Lock()
		var out []byte
		out, t.err = t.perform()
		t.out = bytes.NewReader(out)
		t.sessions.mu.Unlock()
	}
	n, err := t.out.Read(p)
	if n == 0 && t.err != nil {
		return 0, t.err
	}
	return n, err
}

// Write implements [sandbox.Transfer].
func (t *transfer) Write(p []byte) (int, error) {
	t.in = append(t.in, p...)
	return len(p), nil
}

// CloseWrite implements [sandbox.Transfer].
func (t *transfer) CloseWrite() error { return nil }

// Close implements [sandbox.Transfer].
func (t *transfer) Close() error { return nil }

func (t *transfer) perform() ([]byte, error) {
	name := t.request.Path
	data, there := t.files[name]
	missing := &sandbox.Error{Op: string(t.request.Op), ID: name, Kind: sandbox.NotFound, Detail: "there is no file " + name}
	switch t.request.Op {
	case sandbox.FileRead, sandbox.FilePack:
		if !there {
			return nil, missing
		}
		from := t.request.From
		if from < 0 {
			from = max(0, int64(len(data))+from)
		}
		data = data[min(from, int64(len(data))):]
		if size := t.request.Size; size > 0 {
			data = data[:min(size, int64(len(data)))]
		}
		return data, nil
	case sandbox.FileWrite, sandbox.FileUnpack:
		if there && t.request.Exclusive {
			return nil, &sandbox.Error{Op: "write", ID: name, Kind: sandbox.Conflict, Detail: "there is a file " + name + " already"}
		}
		if t.request.Append {
			t.in = append(slices.Clone(data), t.in...)
		}
		t.files[name] = t.in
		return json.Marshal(t.info(name))
	case sandbox.FileStat:
		if !there {
			return nil, missing
		}
		return json.Marshal(t.info(name))
	case sandbox.FileRemove:
		if !there {
			return nil, missing
		}
		delete(t.files, name)
	case sandbox.FileList:
		var out []byte
		for _, file := range slices.Sorted(maps.Keys(t.files)) {
			if strings.HasPrefix(file, strings.TrimSuffix(name, "/")+"/") {
				line, err := json.Marshal(t.info(file))
				if err != nil {
					return nil, err
				}
				out = append(append(out, line...), '\n')
			}
		}
		return out, nil
	case sandbox.FileMkdir:
	}
	return nil, nil
}

func (t *transfer) info(name string) sandbox.FileInfo {
	return sandbox.FileInfo{
		Path: name, Type: sandbox.RegularFile, Size: int64(len(t.files[name])), Mode: 0o644,
		Modified: time.Date(2026, 1, 31, 15, 36, 30, 0, time.UTC),
	}
}
