package msb

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/sandwarden/sandwarden/sandbox"
)

// stop serves sandbox.stop: it answers when the sandbox is gone.
func (h *Handler) stop(ctx context.Context, c *call) (any, error) {
	p := c.place()
	leave, err := h.registry.take(ctx, p)
	if err != nil {
		return nil, err
	}
	defer leave()
	switch err := h.sessions.Stop(ctx, p.ref()); {
	case err == nil:
		h.forgetSample(p)
		h.options.Logger.InfoContext(ctx, "a sandbox was stopped over the microsandbox API", "namespace", p.space, "sandbox", p.name)
	case sandbox.KindOf(err) != sandbox.NotFound:
		return nil, err
	default:
		if refused := h.unknown(p); refused != nil {
			return nil, refused
		}
	}
	return fmt.Sprintf(textStopped, p.name), nil
}

// unknown is the refusal of a sandbox that was never configured; nil for others.
func (h *Handler) unknown(p place) *refusal {
	if _, ok := h.registry.get(p); ok {
		return nil
	}
	if len(h.registry.in(p.space)) == 0 {
		return invalid(textNoFolder, p.space)
	}
	r := internal(fmt.Sprintf(textUnknown, p.name), "check the name of the sandbox, and its namespace")
	r.kind = sandbox.NotFound
	return r
}

// stoppers is how many sandboxes are stopped side by side.
const stoppers = 16

// stopAll serves DELETE /api/v1/sessions: it stops what the key allows to, and
// answers when that is gone.
func (h *Handler) stopAll(w http.ResponseWriter, r *http.Request) {
	scope, refused := h.enter(r)
	if refused != nil {
		h.refuse(w, refused)
		return
	}
	refs, err := h.stoppable(r.Context(), scope)
	if err != nil {
		h.refuse(w, refusalOf(err))
		return
	}
	var stopped, failed atomic.Int64
	var stopping sync.WaitGroup
	gate := make(chan struct{}, stoppers)
	for _, ref := range refs {
		gate <- struct{}{}
		stopping.Go(func() {
			defer func() { <-gate }()
			switch err := h.sessions.Stop(r.Context(), ref); {
			case err == nil:
				stopped.Add(1)
			case sandbox.KindOf(err) != sandbox.NotFound: // it ended by itself meanwhile
				failed.Add(1)
				h.options.Logger.WarnContext(r.Context(), "a session cannot be stopped", "session", ref.Name, "err", err)
			}
		})
	}
	stopping.Wait()
	h.options.Logger.InfoContext(r.Context(), "all sessions were stopped over the microsandbox API", "stopped", stopped.Load(), "failed", failed.Load())
	h.write(w, http.StatusOK, struct {
		Message string `json:"message"`
		Stopped int64  `json:"stopped"`
		Failed  int64  `json:"failed"`
	}{fmt.Sprintf("%d sessions stopped", stopped.Load()), stopped.Load(), failed.Load()})
}

// stoppable are the sessions of the namespaces in a scope. To everything belong
// those of clients without a name, whose sandboxes the guide means: where
// clients have tokens, their sessions are theirs.
func (h *Handler) stoppable(ctx context.Context, s scope) ([]sandbox.Ref, error) {
	owners := []sandbox.Principal{ownerOf(string(s))}
	if s == everything {
		owners = []sandbox.Principal{""}
		for _, space := range h.registry.spaces() {
			owners = append(owners, ownerOf(space))
		}
	}
	var refs []sandbox.Ref
	for _, owner := range owners {
		all, err := h.sessions.List(ctx, sandbox.SessionQuery{Owner: owner})
		if err != nil {
			return nil, err
		}
		for i := range all {
			refs = append(refs, sandbox.Ref{Owner: owner, Name: all[i].Name})
		}
	}
	return refs, nil
}
