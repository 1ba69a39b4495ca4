// Package files does what clients ask of the files of a sandbox, over a
// [sandbox.Transfer]. What comes out of a sandbox is hostile: all of it is
// bounded here, and a client is told when there was more.
package files

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/tail"
)

// The bounds of what a sandbox may tell of its files.
const (
	maxInfo = 64 << 10 // bytes that tell of one file
	maxList = 4 << 20  // bytes of a list
	maxScan = 64 << 20 // bytes that are read to find a line
)

// A Part is a part of a file.
type Part struct {
	Data []byte
	More bool  // the file goes on behind it
	Skip int64 // bytes before it that were read to find it
	Line int64 // of lines: the first one that is in it, from 1
}

// Text makes the part text, and reports whether it can be. A character that its
// end cuts in two is left to the next part.
func (p *Part) Text() bool {
	whole := p.Data
	if p.More {
		whole = whole[:len(whole)-tail.Unfinished(whole)]
	}
	if len(whole) == 0 && len(p.Data) > 0 || !utf8.Valid(whole) {
		return false
	}
	p.Data = whole
	return true
}

// Read reads a file from where the transfer begins, at most so many bytes.
func Read(t sandbox.Transfer, most int64) (Part, error) {
	data, err := io.ReadAll(io.LimitReader(t, most+1))
	if err != nil {
		return Part{}, err
	}
	return Part{Data: data[:min(int64(len(data)), most)], More: int64(len(data)) > most}, nil
}

// Lines reads from one line to another, both included, of a file whose transfer
// begins at its begin; last 0 is to the end. It gives at most so many bytes.
func Lines(t sandbox.Transfer, first, last, most int64) (Part, error) {
	reader := bufio.NewReaderSize(io.LimitReader(t, maxScan), 64<<10)
	part := Part{Line: 1}
	for line := int64(1); last == 0 || line <= last; {
		piece, err := reader.ReadSlice('\n')
		if line >= first {
			if len(part.Data) == 0 {
				part.Line = line
			}
			room := most - int64(len(part.Data))
			part.Data = append(part.Data, piece[:min(int64(len(piece)), room)]...)
			if int64(len(piece)) > room {
				part.More = true
				return part, nil
			}
		} else {
			part.Skip += int64(len(piece))
		}
		switch {
		case err == nil:
			line++
		case errors.Is(err, io.EOF):
			part.More = part.Skip+int64(len(part.Data)) >= maxScan
			return part, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return Part{}, err
		}
	}
	_, err := reader.Peek(1)
	part.More = err == nil
	return part, nil
}

// Write writes a file, and returns what it then is.
func Write(t sandbox.Transfer, data []byte) (sandbox.FileInfo, error) {
	if _, err := io.Copy(t, bytes.NewReader(data)); err != nil {
		return sandbox.FileInfo{}, err
	}
	if err := t.CloseWrite(); err != nil {
		return sandbox.FileInfo{}, err
	}
	told, err := io.ReadAll(io.LimitReader(t, maxInfo))
	if err != nil {
		return sandbox.FileInfo{}, err
	}
	return info(told)
}

// List reads a list, and whether there are more files than are in it.
func List(t sandbox.Transfer, most int) (list []sandbox.FileInfo, more bool, err error) {
	limited := &io.LimitedReader{R: t, N: maxList}
	lines := bufio.NewReaderSize(limited, maxInfo)
	for {
		line, err := lines.ReadSlice('\n')
		if whole := limited.N > 0 || bytes.HasSuffix(line, []byte{'\n'}); whole && len(line) > 0 {
			if len(list) == most {
				return list, true, nil
			}
			file, failed := info(line)
			if failed != nil {
				return nil, false, failed
			}
			list = append(list, file)
		}
		switch {
		case errors.Is(err, io.EOF):
			return list, limited.N == 0 || len(list) > 0 && list[len(list)-1].More, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, false, garbled(err)
		case err != nil:
			return nil, false, err
		}
	}
}

// garbled is the error of a sandbox that does not speak as it should, which is
// nobody's fault but the tenant's.
func garbled(err error) error {
	return &sandbox.Error{Op: "files", Kind: sandbox.Invalid, Detail: "the sandbox tells nothing sensible of its files", Err: err}
}

// info reads what a sandbox tells of a file.
func info(told []byte) (file sandbox.FileInfo, err error) {
	if err := json.Unmarshal(told, &file); err != nil {
		return file, garbled(err)
	}
	file.Mode &= 0o7777
	file.Size = max(file.Size, 0)
	switch file.Type {
	case sandbox.RegularFile, sandbox.Directory, sandbox.Symlink, sandbox.OtherFile:
	default:
		file.Type = sandbox.OtherFile
	}
	return file, nil
}
