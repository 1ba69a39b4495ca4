package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/door"
	"github.com/sandwarden/sandwarden/transport/fault"
)

// maxAnswer bounds what an operation may tell that gives no bytes of files.
const maxAnswer = 16 << 20

func (h *Handler) fileRoutes() {
	tags := []string{"files"}
	const files = "/v1/sessions/{name}/files"
	register(h, huma.Operation{
		OperationID: "read-file", Method: http.MethodGet, Path: files, Tags: tags,
		Summary: "Read a file", Responses: download("application/octet-stream"),
		Description: "When the transfer fails after its beginning, the connection is cut off.",
	}, h.readFile)
	register(h, huma.Operation{
		OperationID: "write-file", Method: http.MethodPut, Path: files, Tags: tags,
		Summary: "Write a file", RequestBody: octets("The bytes of the file"),
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: answers[file](h.api)}},
	}, h.writeFile)
	register(h, huma.Operation{
		OperationID: "remove-file", Method: http.MethodDelete, Path: files, Tags: tags, Summary: "Remove a file or a directory",
	}, h.removeFile)
	register(h, huma.Operation{
		OperationID: "stat-file", Method: http.MethodGet, Path: files + "/stat", Tags: tags, Summary: "Tell of one file",
	}, h.statFile)
	register(h, huma.Operation{
		OperationID: "list-files", Method: http.MethodGet, Path: files + "/list", Tags: tags, Summary: "List a directory",
	}, h.listFiles)
	register(h, huma.Operation{
		OperationID: "make-directory", Method: http.MethodPut, Path: files + "/directory", Tags: tags,
		Summary: "Make a directory", Description: "Parents are made, and one that is there is well.",
	}, h.makeDirectory)
}

// A file is a file as clients see it. What a sandbox tells of it is not trusted.
type file struct {
	_        struct{}  `additionalProperties:"true"`
	Path     string    `json:"path" doc:"Absolute; of a list: below the directory."`
	Type     string    `json:"type" enum:"file,directory,symlink,other"`
	Size     int64     `json:"size"`
	Mode     string    `json:"mode" doc:"Permission bits, in octal." example:"0644"`
	Modified time.Time `json:"modified"`
	Target   string    `json:"target,omitempty" doc:"Of a symlink."`
}

func shownFile(i *sandbox.FileInfo) file {
	out := file{
		Path: i.Path, Type: string(sandbox.OtherFile), Size: i.Size, Mode: "0" + strconv.FormatUint(uint64(i.Mode&0o7777), 8),
		Modified: i.Modified.UTC(), Target: i.Target,
	}
	switch i.Type {
	case sandbox.RegularFile, sandbox.Directory, sandbox.Symlink:
		out.Type = string(i.Type)
	case sandbox.OtherFile:
	}
	if y := out.Modified.Year(); y < 0 || y > 9999 { // which JSON has no form for
		out.Modified = time.Time{}
	}
	return out
}

type readInput struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
	Path string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"A relative one begins at /work." example:"data.csv"`
	From int64  `query:"from" doc:"Offset of the first byte; below 0 counts from the end."`
	Size int64  `query:"size" minimum:"0" doc:"Bytes at most; 0 is all."`
}

func (h *Handler) readFile(_ context.Context, in *readInput) (*huma.StreamResponse, error) {
	request := sandbox.FileRequest{Op: sandbox.FileRead, Path: in.Path, From: in.From, Size: in.Size}
	return h.downloaded(in.Name, request, "application/octet-stream", path.Base(in.Path)), nil
}

// download is the answer of an operation that gives bytes.
func download(kind string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "The bytes", Content: map[string]*huma.MediaType{
		kind: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}}
}

// downloaded answers with the bytes of a transfer, which a browser saves and
// never shows.
func (h *Handler) downloaded(session string, request sandbox.FileRequest, kind, name string) *huma.StreamResponse {
	return streamed(func(w http.ResponseWriter, r *http.Request) {
		t, err := h.transfer(r.Context(), session, request)
		if err != nil {
			h.refuseErr(w, r, err, &fault.Call{Session: session})
			return
		}
		defer func() { _ = t.Close() }() // its end was read, or nobody waits for it
		// The first bytes tell whether there will be any, while it can be said.
		first := make([]byte, 32<<10)
		n, err := t.Read(first)
		if err != nil && !errors.Is(err, io.EOF) {
			h.refuseErr(w, r, err, &fault.Call{Session: session, Path: request.Path})
			return
		}
		header := w.Header()
		inert(header)
		header.Set("Content-Type", kind)
		header.Set("Content-Disposition", attachment(name))
		h.deadline(w)
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodHead {
			return
		}
		out := outgoing{w, h}
		if _, failed := out.Write(first[:n]); failed == nil && err == nil {
			_, err = io.CopyBuffer(out, onlyReader{t}, first)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			h.options.Logger.InfoContext(r.Context(), "transfer cut off", "session", session, "err", err)
			panic(http.ErrAbortHandler) // nothing else tells the client that this is not the end
		}
	})
}

// onlyReader hides other methods from [io.Copy].
type onlyReader struct{ io.Reader }

// attachment names a file for who saves it.
func attachment(name string) string {
	if s := mime.FormatMediaType("attachment", map[string]string{"filename": name}); s != "" {
		return s
	}
	return "attachment"
}

// transfer begins an operation on the files of a session of who asks.
func (h *Handler) transfer(ctx context.Context, session string, r sandbox.FileRequest) (sandbox.Transfer, error) {
	return h.sessions.Transfer(ctx, door.Ref(ctx, session), r)
}

type writeInput struct {
	Name      string `path:"name" doc:"The session_id." example:"demo"`
	Path      string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"A relative one begins at /work." example:"data.csv"`
	Mode      string `query:"mode" pattern:"^0?[0-7]{3}$" doc:"Permission bits of a file that is made, in octal; 0644 without it." example:"0644"`
	Append    bool   `query:"append" doc:"Write behind what is there."`
	Exclusive bool   `query:"exclusive" doc:"Only when there is no such file."`
}

func (h *Handler) writeFile(_ context.Context, in *writeInput) (*huma.StreamResponse, error) {
	request := sandbox.FileRequest{Op: sandbox.FileWrite, Path: in.Path, Mode: mode(in.Mode), Append: in.Append, Exclusive: in.Exclusive}
	return streamed(func(w http.ResponseWriter, r *http.Request) {
		answer, err := h.uploaded(w, r, in.Name, request)
		var info sandbox.FileInfo
		if err == nil {
			err = json.Unmarshal(answer, &info)
		}
		if err != nil {
			h.refuseErr(w, r, err, &fault.Call{Session: in.Name, Path: in.Path})
			return
		}
		h.write(w, shownFile(&info))
	}), nil
}

// mode reads permission bits, whose form was checked.
func mode(octal string) uint32 {
	bits, _ := strconv.ParseUint(octal, 8, 12)
	return uint32(bits)
}

// uploaded gives the body of a request to a transfer, and returns what that
// answers.
func (h *Handler) uploaded(w http.ResponseWriter, r *http.Request, session string, request sandbox.FileRequest) ([]byte, error) {
	if r.ContentLength > h.options.MaxFile {
		return nil, &refusal{tooLarge(h.options.MaxFile)}
	}
	t, err := h.transfer(r.Context(), session, request)
	if err != nil {
		return nil, h.fail(r.Context(), err, &fault.Call{Session: session})
	}
	defer func() { _ = t.Close() }() // what went wrong was told before
	body := &marked{Reader: h.incoming(w, r)}
	_, err = io.CopyBuffer(onlyWriter{t}, body, make([]byte, 32<<10))
	switch {
	case body.err != nil:
		return nil, &refusal{unread(body.err)}
	case err != nil:
		return nil, err
	}
	if err := t.CloseWrite(); err != nil {
		return nil, err
	}
	return told(t)
}

// marked remembers that it was the reading which failed.
type marked struct {
	io.Reader

	err error
}

// Read implements [io.Reader].
func (m *marked) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// onlyWriter hides other methods from [io.Copy].
type onlyWriter struct{ io.Writer }

// told is all that an operation tells.
func told(t io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(t, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = &sandbox.Error{Op: "files", Kind: sandbox.Exhausted, Detail: "there is more to tell than fits into an answer", Remedy: "Ask with a smaller limit, or for a directory below"}
	}
	return data, err
}

// performed does an operation that takes no bytes.
func (h *Handler) performed(ctx context.Context, session string, request sandbox.FileRequest) ([]byte, error) {
	t, err := h.transfer(ctx, session, request)
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: session})
	}
	defer func() { _ = t.Close() }() // its end was read
	data, err := told(t)
	if err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: session, Path: request.Path})
	}
	return data, nil
}

type removeInput struct {
	Name      string `path:"name" doc:"The session_id." example:"demo"`
	Path      string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"A relative one begins at /work." example:"data.csv"`
	Recursive bool   `query:"recursive" doc:"With what is below."`
}

func (h *Handler) removeFile(ctx context.Context, in *removeInput) (*none, error) {
	_, err := h.performed(ctx, in.Name, sandbox.FileRequest{Op: sandbox.FileRemove, Path: in.Path, Recursive: in.Recursive})
	if err != nil {
		return nil, err
	}
	return &none{}, nil
}

type pathInput struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
	Path string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"A relative one begins at /work." example:"data.csv"`
}

type fileOutput struct {
	Body file
}

func (h *Handler) statFile(ctx context.Context, in *pathInput) (*fileOutput, error) {
	data, err := h.performed(ctx, in.Name, sandbox.FileRequest{Op: sandbox.FileStat, Path: in.Path})
	if err != nil {
		return nil, err
	}
	var info sandbox.FileInfo
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
	}
	return &fileOutput{shownFile(&info)}, nil
}

type filesInput struct {
	Name      string `path:"name" doc:"The session_id." example:"demo"`
	Path      string `query:"path" maxLength:"4096" default:"/work" doc:"A relative one begins at /work."`
	Recursive bool   `query:"recursive" doc:"With what is below."`
	Limit     int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"How many at most."`
}

type filesOutput struct {
	Body fileList
}

type fileList struct {
	_     struct{} `additionalProperties:"true"`
	Files []file   `json:"files" nullable:"false"`
	More  bool     `json:"more" doc:"There are others."`
}

func (h *Handler) listFiles(ctx context.Context, in *filesInput) (*filesOutput, error) {
	data, err := h.performed(ctx, in.Name, sandbox.FileRequest{Op: sandbox.FileList, Path: in.Path, Recursive: in.Recursive, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := &filesOutput{fileList{Files: []file{}}}
	for line := range bytes.Lines(data) {
		var info sandbox.FileInfo
		if err := json.Unmarshal(line, &info); err != nil {
			return nil, h.fail(ctx, err, &fault.Call{Session: in.Name})
		}
		out.Body.Files, out.Body.More = append(out.Body.Files, shownFile(&info)), info.More
	}
	return out, nil
}

type directoryInput struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
	Path string `query:"path" required:"true" minLength:"1" maxLength:"4096" doc:"A relative one begins at /work." example:"results"`
	Mode string `query:"mode" pattern:"^0?[0-7]{3}$" doc:"Permission bits, in octal; 0755 without it." example:"0755"`
}

func (h *Handler) makeDirectory(ctx context.Context, in *directoryInput) (*none, error) {
	_, err := h.performed(ctx, in.Name, sandbox.FileRequest{Op: sandbox.FileMkdir, Path: in.Path, Mode: mode(in.Mode)})
	if err != nil {
		return nil, err
	}
	return &none{}, nil
}
