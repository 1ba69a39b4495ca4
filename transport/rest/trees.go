package rest

import (
	"context"
	"net/http"
	"path"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport/fault"
)

func (h *Handler) treeRoutes() {
	const tree = "/v1/sessions/{name}/files/tree"
	tags := []string{"files"}
	register(h, huma.Operation{
		OperationID: "read-tree", Method: http.MethodGet, Path: tree, Tags: tags,
		Summary: "Read a directory as tar", Responses: download("application/x-tar"),
		Description: "When the transfer fails after its beginning, the connection is cut off.",
	}, h.readTree)
	register(h, huma.Operation{
		OperationID: "write-tree", Method: http.MethodPut, Path: tree, Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Write a directory from tar", Description: "The directory must be there.", RequestBody: octets("The tar, which is not compressed"),
		Responses: map[string]*huma.Response{"204": {Description: "No Content"}},
	}, h.writeTree)
}

type treeInput struct {
	Name string `path:"name" doc:"The session_id." example:"demo"`
	Path string `query:"path" maxLength:"4096" default:"/work" doc:"A directory; a relative one begins at /work."`
}

func (h *Handler) readTree(_ context.Context, in *treeInput) (*huma.StreamResponse, error) {
	return h.downloaded(in.Name, sandbox.FileRequest{Op: sandbox.FilePack, Path: in.Path}, "application/x-tar", path.Base(in.Path)+".tar"), nil
}

func (h *Handler) writeTree(_ context.Context, in *treeInput) (*huma.StreamResponse, error) {
	return streamed(func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.uploaded(w, r, in.Name, sandbox.FileRequest{Op: sandbox.FileUnpack, Path: in.Path}); err != nil {
			h.refuseErr(w, r, err, &fault.Call{Session: in.Name, Path: in.Path})
			return
		}
		h.deadline(w)
		w.WriteHeader(http.StatusNoContent)
	}), nil
}
