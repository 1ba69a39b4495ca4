package msb

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
)

// start serves sandbox.start: it answers when the sandbox can be used.
func (h *Handler) start(ctx context.Context, c *call) (any, error) {
	p := c.place()
	wanted := c.params.Config
	switch {
	case wanted != nil && wanted.Image != "":
		if refused := h.check(wanted); refused != nil {
			return nil, refused
		}
	default:
		known, ok := h.registry.get(p)
		if !ok && wanted == nil {
			return nil, invalid(textNoConfig, p.name)
		}
		if !ok {
			return nil, invalid(textUnknown, p.name)
		}
		if refused := h.check(&known); refused != nil { // the server may have other images and volumes now
			return nil, refused
		}
		wanted = &known
	}
	ctx, cancel := context.WithTimeout(ctx, h.options.StartTimeout)
	defer cancel()
	started := map[place]bool{} // each is looked at once, by however many ways it is needed
	for _, name := range wanted.DependsOn {
		if err := h.startBefore(ctx, place{p.space, name}, []place{p}, started); err != nil {
			return nil, err
		}
	}
	if err := h.bring(ctx, p, wanted); err != nil {
		return nil, err
	}
	return fmt.Sprintf(textStarted, p.name), nil
}

// startBefore starts a sandbox that others depend on, and before it those that
// it depends on.
func (h *Handler) startBefore(ctx context.Context, p place, others []place, started map[place]bool) error {
	if started[p] {
		return nil
	}
	if slices.Contains(others, p) {
		return invalid("config.depends_on: the sandboxes depend on one another in a circle, by way of %s", p.name)
	}
	known, ok := h.registry.get(p)
	if !ok {
		return invalid("config.depends_on: sandbox %q was never configured in the namespace %s; start it once with its config", p.name, p.space)
	}
	if len(others) == maxDepends {
		return invalid("config.depends_on: more than %d sandboxes depend on one another in a row", maxDepends)
	}
	if refused := h.check(&known); refused != nil {
		return refused
	}
	for _, name := range known.DependsOn {
		if err := h.startBefore(ctx, place{p.space, name}, append(others, p), started); err != nil {
			return err
		}
	}
	started[p] = true
	return h.bring(ctx, p, &known)
}

// bring sees to it that a sandbox runs with a config.
func (h *Handler) bring(ctx context.Context, p place, wanted *config) error {
	leave, err := h.registry.take(ctx, p)
	if err != nil {
		return err
	}
	defer leave()
	request := h.sessionRequest(p, wanted)
	_, created, err := h.sessions.Create(ctx, request)
	if err != nil {
		return err
	}
	if !created {
		if known, ok := h.registry.get(p); ok && !same(&known, wanted) {
			return &refusal{
				status: 400, code: codeInvalid, kind: sandbox.Conflict, remedy: "stop it first with sandbox.stop",
				text: fmt.Sprintf("Sandbox '%s' runs with another configuration; stop it first", p.name),
			}
		}
	} else if err := h.settle(ctx, p, request, wanted); err != nil {
		return h.withdraw(ctx, p, err)
	}
	if err := h.registry.put(p, *wanted); err != nil {
		h.options.Logger.WarnContext(ctx, "the configuration of a sandbox is not kept over a restart", "namespace", p.space, "sandbox", p.name, "err", err)
	}
	return nil
}

// same tells whether two configs say the same.
func same(a, b *config) bool { return bytes.Equal(lineOf(place{}, *a), lineOf(place{}, *b)) }

// sessionRequest is the session that a config asks for.
func (h *Handler) sessionRequest(p place, c *config) sandbox.SessionRequest {
	template, _ := h.template(c.Image) // it was checked
	return sandbox.SessionRequest{
		Owner: ownerOf(p.space), Session: p.name, Template: template, CPUs: int(c.CPUs), MemoryMB: int(c.Memory),
		Env: c.Envs, Dir: c.Workdir, IdleTimeout: h.options.IdleTimeout,
	}
}

// withdrawTime is how long a sandbox that is not to be may take to end.
const withdrawTime = 30 * time.Second

// withdraw ends a sandbox that cannot be what its config says.
func (h *Handler) withdraw(ctx context.Context, p place, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if stop := h.sessions.Stop(ctx, p.ref()); stop != nil && sandbox.KindOf(stop) != sandbox.NotFound {
		h.options.Logger.WarnContext(ctx, "a sandbox that could not be started is left", "namespace", p.space, "sandbox", p.name, "err", stop)
	}
	return err
}

// scriptDir is where the scripts of a config are in its sandbox.
const scriptDir = "/work/.scripts"

// settleScript makes of a fresh sandbox what its config says. Its arguments are
// the working directory, the shell, what is to run, and pairs of a script's name
// and text.
const settleScript = `if [ -n "$1" ]; then mkdir -p -- "$1" && [ -d "$1" ] || exit 81; fi
command -v -- "$2" >/dev/null || exit 82
dir=$1 shell=$2 run=$3; shift 3
while [ $# -gt 0 ]; do
  mkdir -p ` + scriptDir + ` && printf %s "$2" >"` + scriptDir + `/$1" && chmod 755 "` + scriptDir + `/$1" || exit 83
  shift 2
done
[ -z "$run" ] && exit 0
cd "${dir:-/work}" && exec </dev/null >/dev/null 2>&1
if command -v setsid >/dev/null; then setsid "$shell" -c "$run" & else "$shell" -c "$run" & fi`

// settle makes of a fresh sandbox what its config says.
func (h *Handler) settle(ctx context.Context, p place, request sandbox.SessionRequest, c *config) error {
	if c.Workdir == "" && c.Shell == "" && c.Exec == "" && len(c.Scripts) == 0 {
		return nil
	}
	argv := []string{"/bin/sh", "-c", settleScript, "sh", c.Workdir, c.shell(), c.Exec}
	for name, text := range c.Scripts {
		argv = append(argv, name, text)
	}
	result, err := h.sessions.Execute(ctx, sandbox.ExecRequest{
		SessionRequest: request, Argv: argv, Dir: "/", Background: true, Timeout: h.options.StartTimeout,
	})
	if err != nil {
		return err
	}
	switch result.Exit.Code {
	case 0:
		return nil
	case 81:
		return invalid("config.workdir %q cannot be made in the sandbox: what is in /work and /tmp can be", clip(c.Workdir))
	case 82:
		return invalid("config.shell %q is not in the sandbox", clip(c.Shell))
	case 83:
		return invalid("config.scripts do not fit into the sandbox")
	}
	h.options.Logger.WarnContext(ctx, "a fresh sandbox could not be settled", "namespace", p.space, "sandbox", p.name,
		"code", result.Exit.Code, "cause", result.Exit.Cause, "stderr", clip(string(result.Stderr)))
	return internal("the sandbox did not take its configuration: "+strings.TrimSpace(clip(string(result.Stderr))), "try again")
}
