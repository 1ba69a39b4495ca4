package microsandbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent"
	"github.com/sandwarden/sandwarden/sandbox/agent/embedded"
)

// The agent's program travels in parts of several arguments each. A part and its
// frame stay below the 2 MiB that servers take, and that arguments may have.
const (
	argumentSize = 96 << 10 // characters: a multiple of 4, as base64 wants it
	partSize     = 12 * argumentSize
)

// packing takes a third of the time that gzip's usual level does, for 6 % more bytes, which are
// as many parts.
const packing = 2

// parcel makes the parts of the agent's program, once: compressed and in base64.
var parcel = sync.OnceValues(func() ([]string, error) { //nolint:gochecknoglobals // never changes
	program, err := embedded.Agent()
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, packing)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(program); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return cut(base64.StdEncoding.EncodeToString(packed.Bytes()), partSize), nil
})

// cut cuts a text into pieces of a size.
func cut(text string, size int) []string {
	var pieces []string
	for len(text) > size {
		pieces, text = append(pieces, text[:size]), text[size:]
	}
	return append(pieces, text)
}

// The scripts that bring the agent into a sandbox. Each may run twice. The
// first one finds a folder that can be written to and run from, best one where
// the agent already is.
const (
	probeScript = `umask 077
for d in /tmp /var/tmp /work /dev/shm "$HOME"; do [ -S "$d/.sandwarden/socket" ] && { echo "dir $d/.sandwarden"; break; }; done
for d in /tmp /var/tmp /work /dev/shm "$HOME"; do
  p=$d/.sandwarden
  mkdir -p "$p" 2>/dev/null || continue
  printf '#!/bin/sh\nexit 0\n' >"$p/probe" 2>/dev/null && chmod 700 "$p/probe" && "$p/probe" 2>/dev/null && { rm -f "$p/probe"; echo "dir $p"; break; }
  rm -f "$p/probe"; rmdir "$p" 2>/dev/null
done
mkdir -p /work 2>/dev/null; [ -d /work ] && [ -w /work ] && echo work
echo "machine $(uname -m)"
for c in base64 gzip cat; do command -v $c >/dev/null || echo "lacks $c"; done`
	partScript  = `cd "$1" && n=$2 && shift 2 && for a; do printf %s "$a"; done | base64 -d >"part.$n"`
	startScript = `cd "$1" && { [ -x agent ] || { cat $3 | gzip -dc >agent.new && chmod 700 agent.new && mv agent.new agent; }; } && rm -f part.* && ./agent visit "$1" "$2"`
)

// isMachine reports whether uname may call the processor so that this daemon,
// and the agent in it, was built for.
func isMachine(name string) bool {
	switch name {
	case "x86_64", "amd64":
		return runtime.GOARCH == "amd64"
	case "aarch64", "arm64":
		return runtime.GOARCH == "arm64"
	}
	return false
}

// A place is what was found in a sandbox.
type place struct {
	dir     string // for the agent
	work    bool   // there is a /work to write to
	machine string
	lacks   []string
}

// probe finds out what a sandbox has.
func (x *box) probe(ctx context.Context) (place, error) {
	var p place
	o, err := x.backend.server.command(ctx, x.name, 0, "sh", "-c", probeScript)
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(o.Stdout + "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "dir":
			if p.dir == "" {
				p.dir = rest
			}
		case "work":
			p.work = true
		case "machine":
			p.machine = rest
		case "lacks":
			p.lacks = append(p.lacks, rest)
		}
	}
	return p, p.check(x.id)
}

// check says why an agent cannot live in a place.
func (p *place) check(id sandbox.ID) error {
	var why string
	remedy := "use an image that has it"
	switch {
	case p.machine == "":
		why = "it runs no shell"
	case len(p.lacks) > 0:
		why = "it has no " + strings.Join(p.lacks, " and no ")
	case p.dir == "":
		why = "no folder in it can be written to and run from"
	case !p.work:
		why = "it has no folder /work, and none can be made"
	case !isMachine(p.machine):
		why = fmt.Sprintf("its processor is a %s, and this daemon has the agent for %s alone", oneLine(p.machine), runtime.GOARCH)
		remedy = "run a daemon that was built for that processor"
	default:
		return nil
	}
	return &sandbox.Error{
		Op: "create", ID: string(id), Kind: sandbox.Unavailable, Detail: "the agent cannot live in the server's sandbox: " + why, Remedy: remedy,
	}
}

// config is what the server is asked for.
func (x *box) config() map[string]any {
	c := map[string]any{
		"image": x.backend.opts.Images[x.spec.Template.Language], "memory": x.spec.Flavor.MemoryMB, "cpus": x.spec.Flavor.CPUs,
	}
	if len(x.spec.Env) > 0 {
		c["envs"] = x.spec.Env
	}
	var volumes []string
	for _, v := range x.backend.opts.Volumes {
		volumes = append(volumes, v.HostPath+":"+v.Path)
	}
	if volumes != nil {
		c["volumes"] = volumes
	}
	return c
}

// begin makes the sandbox and brings the agent into it.
func (x *box) begin(ctx context.Context) error {
	if _, err := x.backend.server.start(ctx, x.name, x.config(), x.backend.opts.StartTimeout); err != nil {
		return err
	}
	p, err := x.settled(ctx)
	if err != nil {
		return err
	}
	if err := x.bring(ctx, p.dir); err != nil {
		return err
	}
	return x.greet(ctx, p.dir)
}

// settled waits until a sandbox runs commands: the server may say that it has
// started before it is so, and then fails without a reason.
func (x *box) settled(ctx context.Context) (place, error) {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		p, err := x.probe(ctx)
		r, refused := errors.AsType[*refusal](err)
		if err == nil || !refused || r.code != codeInternal && r.code != codeNotFound || time.Since(x.made) > x.backend.opts.StartTimeout {
			return p, err
		}
		if err := sleep(ctx, pause); err != nil {
			return p, err
		}
	}
}

// bring puts the agent into the sandbox and starts it.
func (x *box) bring(ctx context.Context, dir string) error {
	parts, err := parcel()
	if err != nil {
		return err
	}
	var names []string
	for i, part := range parts {
		args := append([]string{"-c", partScript, "sh", dir, strconv.Itoa(i)}, cut(part, argumentSize)...)
		if err := x.script(ctx, args...); err != nil {
			return err
		}
		names = append(names, "part."+strconv.Itoa(i))
	}
	visit := agent.Visit{Language: x.spec.Template.Language, Env: x.spec.Env, RingBytes: ringBytes}
	encoded, err := visit.Encode()
	if err != nil {
		return err
	}
	return x.script(ctx, "-c", startScript, "sh", dir, encoded, strings.Join(names, " "))
}

// ringBytes is how much output an agent keeps until it is acknowledged.
const ringBytes = 1 << 20

// script runs a shell, which must succeed.
func (x *box) script(ctx context.Context, args ...string) error {
	o, err := x.backend.server.command(ctx, x.name, 0, "sh", args...)
	if err != nil || o.Exit == 0 {
		return err
	}
	return &sandbox.Error{
		Op: "create", ID: string(x.id), Kind: sandbox.Unavailable,
		Detail: "the agent cannot be started in the server's sandbox: " + oneLine(o.Stderr), Remedy: "use an image that has the template's language",
	}
}

// rejoin finds the agent that an earlier daemon brought.
func (x *box) rejoin(ctx context.Context) error {
	p, err := x.probe(ctx)
	if err != nil {
		return err
	}
	if err := x.greet(ctx, p.dir); err != nil {
		return err
	}
	states, err := x.client.Executions(ctx)
	if err != nil {
		return err
	}
	x.catchUp = true
	for _, s := range states {
		if s.Running {
			x.open[s.ID] = true
		}
	}
	return nil
}
