package mcp

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
	"github.com/sandwarden/sandwarden/transport/files"
	"github.com/sandwarden/sandwarden/transport/plainjson"
)

// onFile does what is asked of the files of a session. The session must be
// there: a file of one that is made for the question is of no use to anybody.
func (h *Handler) onFile(ctx context.Context, op *operation) outcome {
	ctx, cancel := context.WithTimeout(ctx, h.options.SoftLimit)
	defer cancel()
	set(&op.file.path, "/work") // where a list begins
	set(&op.file.size, fileBudget)
	set(&op.file.limit, listBudget)
	transfer, err := h.sessions.Transfer(ctx, door.Ref(ctx, op.session), op.file.request(op.tool))
	if err != nil {
		return h.failed(ctx, op, err, &fault.Call{Session: op.session, Within: true})
	}
	defer func() { _ = transfer.Close() }()
	var a *answer
	switch op.tool {
	case readFile:
		a, err = readAnswer(op, transfer)
	case writeFile:
		a, err = writeAnswer(op, transfer)
	default:
		a, err = listAnswer(op, transfer)
	}
	if err != nil {
		return h.failed(ctx, op, err, op.call())
	}
	return told(op, a)
}

func (f *file) request(tool string) sandbox.FileRequest {
	r := sandbox.FileRequest{Op: sandbox.FileList, Path: f.path, Recursive: f.recursive, Limit: int(f.limit)}
	switch tool {
	case readFile:
		r = sandbox.FileRequest{Op: sandbox.FileRead, Path: f.path, From: f.from, Size: f.size + 1} // one more tells that there is more
		if f.byLines() {
			r.Size = 0
		}
	case writeFile:
		r = sandbox.FileRequest{Op: sandbox.FileWrite, Path: f.path, Append: f.appends, Mode: f.mode}
	}
	return r
}

func (f *file) byLines() bool { return f.firstLine > 0 || f.lastLine > 0 }

// begin is what every answer of the tools for files begins with.
func (op *operation) begin() []byte {
	dst := plainjson.StringMember([]byte{'{'}, "session_id", op.session)
	return plainjson.StringMember(dst, "path", op.file.path)
}

func readAnswer(op *operation, transfer sandbox.Transfer) (*answer, error) {
	f := &op.file
	var part files.Part
	var err error
	if f.byLines() {
		part, err = files.Lines(transfer, max(f.firstLine, 1), f.lastLine, f.size)
	} else {
		part, err = files.Read(transfer, f.size)
	}
	if err != nil {
		return nil, err
	}
	isText := f.encoding == "text" || f.encoding != "base64" && part.Text()
	a := &answer{facts: op.begin()}
	if f.from >= 0 { // else nobody knows where it is
		a.facts = plainjson.IntMember(a.facts, "from", f.from+part.Skip)
		a.facts = plainjson.IntMember(a.facts, "next", f.from+part.Skip+int64(len(part.Data)))
	}
	a.facts = plainjson.IntMember(a.facts, "size", int64(len(part.Data)))
	if f.byLines() {
		a.facts = plainjson.IntMember(a.facts, "first_line", part.Line)
	}
	a.facts = plainjson.BoolMember(a.facts, "has_more", part.More)
	if isText {
		a.facts = plainjson.StringMember(a.facts, "encoding", "text")
		a.bulk = plainjson.StringMember([]byte{'{'}, "text", part.Data)
		a.text = part.Data
	} else {
		a.facts = plainjson.StringMember(a.facts, "encoding", "base64")
		encoded := base64.StdEncoding.EncodeToString(part.Data)
		a.bulk = plainjson.StringMember([]byte{'{'}, "base64", encoded)
		a.text = []byte(encoded)
	}
	if part.More {
		a.text = note(a.text, "… the file goes on; read more with "+f.further(&part))
	}
	return a, nil
}

// further says how to read what is behind a part.
func (f *file) further(part *files.Part) string {
	if f.from < 0 {
		return "a larger size"
	}
	return "from=" + strconv.FormatInt(f.from+part.Skip+int64(len(part.Data)), 10)
}

func writeAnswer(op *operation, transfer sandbox.Transfer) (*answer, error) {
	info, err := files.Write(transfer, op.file.data)
	if err != nil {
		return nil, err
	}
	said := strconv.Itoa(len(op.file.data)) + " bytes were written to " + op.file.path
	if op.file.appends {
		said += ", which now has " + bytesOf(info.Size)
	}
	facts := plainjson.IntMember(op.begin(), "written_bytes", int64(len(op.file.data)))
	facts = plainjson.IntMember(facts, "size", info.Size)
	return &answer{text: []byte(said), facts: plainjson.StringMember(facts, "mode", octal(info.Mode))}, nil
}

func octal(mode uint32) string {
	s := strconv.FormatUint(uint64(mode), 8)
	if len(s) < 4 {
		s = "0000"[len(s):] + s
	}
	return s
}

func listAnswer(op *operation, transfer sandbox.Transfer) (*answer, error) {
	list, more, err := files.List(transfer, int(op.file.limit))
	if err != nil {
		return nil, err
	}
	a := &answer{facts: plainjson.BoolMember(op.begin(), "has_more", more)}
	a.bulk = append(plainjson.AppendName([]byte{'{'}, "files"), '[')
	for i := range list {
		f := &list[i]
		if i > 0 {
			a.bulk = append(a.bulk, ',')
		}
		a.bulk = plainjson.StringMember(append(a.bulk, '{'), "path", f.Path)
		a.bulk = plainjson.StringMember(a.bulk, "type", string(f.Type))
		a.bulk = plainjson.IntMember(a.bulk, "size", f.Size)
		a.bulk = plainjson.StringMember(a.bulk, "mode", octal(f.Mode))
		a.bulk = plainjson.StringMember(a.bulk, "modified", f.Modified.UTC().Format(time.RFC3339Nano))
		a.bulk = append(optional(a.bulk, "target", f.Target), '}')
		a.text = append(append(a.text, listLine(f)...), '\n')
	}
	a.bulk = append(a.bulk, ']')
	switch {
	case len(list) == 0:
		a.text = []byte("There are no files")
	case more:
		a.text = note(a.text, "… there are more; list a folder below, or with a larger limit")
	}
	return a, nil
}

// listLine is a file in a list for people. A name that would look like several
// lines, or like nothing, is quoted.
func listLine(f *sandbox.FileInfo) string {
	line := shownName(f.Path)
	switch f.Type {
	case sandbox.Directory:
		return line + "/"
	case sandbox.Symlink:
		return line + " -> " + shownName(f.Target)
	case sandbox.RegularFile, sandbox.OtherFile:
	}
	return line + "  " + bytesOf(f.Size)
}

func shownName(name string) string {
	if !utf8.ValidString(name) {
		return strconv.Quote(name)
	}
	for _, r := range name {
		if !strconv.IsPrint(r) {
			return strconv.Quote(name)
		}
	}
	return name
}
