//go:build linux

package native

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
)

// proofLimit bounds the proof of one template.
const proofLimit = 30 * time.Second

// plant builds the tree of a template, and a mount namespace in which it is the root.
func (b *Backend) plant(t sandbox.Template) error {
	dir := filepath.Join(b.nest.dir, t.Name)
	if err := b.nest.do(func() error { return buildTree(dir, t, b.mountPoints()) }); err != nil {
		return err
	}
	tree, err := b.nest.enclose(dir)
	if err != nil {
		return err
	}
	b.trees[t.Name] = tree
	return nil
}

// driverPath is where a kernel's driver lies inside.
func driverPath(l sandbox.Language) string {
	name, _, _ := kernel.Driver(l)
	return "/" + driverDir + "/" + name
}

// prove builds the templates and runs each one's interpreter in a sandbox of
// its own. A template that cannot be used is no fault of the host: it says why
// when it is asked for. That no sandbox at all can be made is.
func (b *Backend) prove(ctx context.Context) error {
	b.interpreters = map[string]string{}
	var last error
	proven := 0
	for _, t := range sandbox.Templates() {
		status := sandbox.TemplateStatus{Template: t}
		status.Version, status.Err = b.proveTemplate(ctx, t)
		b.templates = append(b.templates, status)
		if status.Err == nil {
			proven++
			continue
		}
		b.opts.Logger.Warn("template cannot be used", "template", t.Name, "err", status.Err)
		last = status.Err
	}
	if proven == 0 {
		return last
	}
	return nil
}

func (b *Backend) proveTemplate(ctx context.Context, t sandbox.Template) (version string, err error) {
	path, err := b.findInterpreter(t.Language)
	if err != nil {
		return "", err
	}
	b.interpreters[t.Name] = path
	if err := b.plant(t); err != nil {
		return "", proofError(t, err)
	}
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	version, err = b.askVersion(ctx, t, path)
	if err != nil {
		return "", proofError(t, err)
	}
	return version, nil
}

// opTemplate is what fails when a template cannot be used.
const opTemplate = "template"

func proofError(t sandbox.Template, err error) error {
	return &sandbox.Error{
		Op: opTemplate, ID: t.Name, Kind: sandbox.Unavailable,
		Detail: "the template " + t.Name + " cannot be used on this host",
		Remedy: "run: sandwarden doctor",
		Err:    err,
	}
}

// askVersion runs the interpreter's --version as a tenant would.
func (b *Backend) askVersion(ctx context.Context, t sandbox.Template, path string) (version string, err error) {
	id := sandbox.ID("sb-proof-" + t.Name)
	x, err := b.create(ctx, id, sandbox.Spec{Session: "proof", Template: t, Flavor: sandbox.Flavors()[0]}, false)
	if err != nil {
		return "", err
	}
	b.late = b.late || b.canBeLate(x)
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyLimit)
		defer cancel()
		err = errors.Join(err, x.Destroy(clean))
	}()
	if err := x.Start(ctx, sandbox.Exec{ID: "version", Argv: []string{path, "--version"}, OutputLimit: 4096}); err != nil {
		return "", err
	}
	return readVersion(ctx, x)
}

func readVersion(ctx context.Context, x sandbox.Sandbox) (string, error) {
	var out strings.Builder
	var after uint64
	for {
		frames, err := x.Follow(ctx, after, time.Second)
		if err != nil {
			return "", err
		}
		for _, f := range frames {
			after = f.Seq
			out.Write(f.Data)
			if f.Exit != nil && f.Exit.Code != 0 {
				return "", errors.New("its interpreter fails: " + out.String())
			}
			if f.Exit != nil {
				line, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
				return line, nil
			}
		}
	}
}
