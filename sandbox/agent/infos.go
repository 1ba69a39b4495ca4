package agent

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// maxLine bounds in bytes what a sandbox says of one file: two paths, each of
// whose bytes may be written as six.
const maxLine = 64 << 10

// errNonsense says that what came is no word of files.
var errNonsense = errors.New("what came tells of no files")

// infos reads what a sandbox says of files, and gives it anew: each entry within
// the bounds, and nothing else.
type infos struct {
	lines *bufio.Reader
	path  string // of the one file that is told of; empty in a list
	most  int    // entries that may still come
	rest  []byte
}

// NewInfos reads FileInfos as JSON, one a line, that nobody believes: of the one
// file at a path or, where that is empty, of those in a directory.
func NewInfos(from io.Reader, path string, most int) io.Reader {
	return &infos{lines: bufio.NewReaderSize(from, maxLine), path: path, most: most}
}

// Read implements [io.Reader].
func (i *infos) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		line, err := i.next()
		if err != nil {
			return 0, err
		}
		i.rest = line
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

func (i *infos) next() ([]byte, error) {
	line, err := i.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, io.EOF) && len(line) > 0:
		return nil, errNonsense
	case err != nil:
		return nil, err
	case i.most == 0:
		return nil, errNonsense
	}
	i.most--
	var info sandbox.FileInfo
	if json.Unmarshal(line, &info) != nil || !i.tame(&info) {
		return nil, errNonsense
	}
	line, err = json.Marshal(info)
	if err != nil {
		return nil, errNonsense
	}
	return append(line, '\n'), nil
}

// tame brings an entry within the bounds. An entry of a list that would lead out
// of the directory is none.
func (i *infos) tame(info *sandbox.FileInfo) bool {
	if i.path != "" {
		info.Path, info.More = strings.ToValidUTF8(i.path, "\uFFFD"), false
	} else if info.Path = cut(info.Path, sandbox.MaxPath); !fs.ValidPath(info.Path) || info.Path == "." {
		return false
	}
	switch info.Type {
	case sandbox.RegularFile, sandbox.Directory, sandbox.Symlink, sandbox.OtherFile:
	default:
		info.Type = sandbox.OtherFile
	}
	info.Size = max(info.Size, 0)
	info.Mode &= 0o777
	info.Target = cut(info.Target, sandbox.MaxPath)
	return true
}
