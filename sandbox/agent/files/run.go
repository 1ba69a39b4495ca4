//go:build linux

package files

import (
	"encoding/base64"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// Word is the first argument of the agent's program when it is to be a helper.
const Word = "files"

// ResultFD is the descriptor on which a helper says how it ended.
const ResultFD = 3

// Args returns the arguments behind the program's name for a helper.
func Args(r *wire.OpenTransferRequest) ([]string, error) {
	data, err := proto.Marshal(r)
	return []string{Word, base64.StdEncoding.EncodeToString(data)}, err
}

// MaxResult bounds in bytes what a helper says of its end. It is written in one
// piece, which a pipe keeps in one.
const MaxResult = 4096

// Run does the operation that args, without the Word, tell of. It returns an
// error only when it cannot say how the operation ended.
func Run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("files: one request is needed")
	}
	data, err := base64.StdEncoding.DecodeString(args[0])
	if err != nil {
		return err
	}
	var r wire.OpenTransferRequest
	if err := proto.Unmarshal(data, &r); err != nil {
		return err
	}
	unix.Umask(0) // modes are as they are asked for
	end := &wire.ReadTransferReply{End: true, Fault: faultOf(Do(&r, in, out))}
	if data, err = proto.Marshal(end); err != nil {
		return err
	}
	_, err = os.NewFile(ResultFD, "result").Write(data)
	return err
}

// Do does one operation.
func Do(r *wire.OpenTransferRequest, in io.Reader, out io.Writer) error {
	h := &helper{in: in, out: out, r: sandbox.FileRequest{
		Op: sandbox.FileOp(r.GetOp()), Path: string(r.GetPath()), From: r.GetFrom(), Size: r.GetSize(), Mode: r.GetMode(),
		Append: r.GetAppend(), Exclusive: r.GetExclusive(), Recursive: r.GetRecursive(), Limit: int(r.GetLimit()),
	}}
	if h.r.Check() != nil {
		return fault{code: wire.FaultCode_BAD_REQUEST}
	}
	h.path = h.r.Absolute()
	return h.do()
}

// A helper does one operation.
type helper struct {
	r    sandbox.FileRequest
	path string // absolute
	in   io.Reader
	out  io.Writer
}

func (h *helper) do() error {
	switch h.r.Op {
	case sandbox.FileRead:
		return h.read()
	case sandbox.FileWrite:
		return h.write()
	case sandbox.FileStat:
		return h.stat()
	case sandbox.FileList:
		return h.list()
	case sandbox.FileRemove:
		return h.remove()
	case sandbox.FileMkdir:
		return h.mkdir()
	case sandbox.FilePack:
		return h.pack()
	case sandbox.FileUnpack:
		return h.unpack()
	}
	return fault{code: wire.FaultCode_BAD_REQUEST}
}

// mode is that of what the operation makes.
func (h *helper) mode(usual os.FileMode) os.FileMode {
	if h.r.Mode == 0 {
		return usual
	}
	return os.FileMode(h.r.Mode)
}
