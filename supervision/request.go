package supervision

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/sandwarden/sandwarden/sandbox"
)

// What a request may hold.
const (
	maxName     = 128
	maxEnv      = 256
	maxEnvBytes = 64 << 10
	maxVarBytes = 1 << 20  // of a command
	maxArgs     = 64 << 10 // fewer than any kernel takes
)

func invalid(op, name, detail string) error {
	return &sandbox.Error{Op: op, ID: name, Kind: sandbox.Invalid, Detail: detail}
}

// checkName returns what is wrong with a session's name.
func checkName(name string) error {
	ok := len(name) > 0 && len(name) <= maxName && !strings.ContainsRune("._:@-", rune(name[0]))
	for _, c := range []byte(name) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("._:@-", c) >= 0)
	}
	if ok {
		return nil
	}
	return invalid("create", "", fmt.Sprintf(
		"a session's name has 1 to %d of the characters A-Z a-z 0-9 . _ : @ - and begins with a letter or a digit", maxName))
}

// nameOf is the name that a request gives, or one of our choice.
func nameOf(request sandbox.SessionRequest) (string, error) {
	if request.Session == "" {
		return uuid.NewString(), nil
	}
	return request.Session, checkName(request.Session)
}

// specOf turns a request into what its sandbox is to be.
func specOf(name string, request sandbox.SessionRequest, o *Options) (sandbox.Spec, error) {
	spec := sandbox.Spec{Owner: request.Owner, Session: name, Env: request.Env}
	var err error
	if spec.Template, err = pick(o.Templates, request.Template, o.DefaultTemplate, "template",
		func(t sandbox.Template) string { return t.Name }); err != nil {
		return spec, err
	}
	if spec.Flavor, err = pick(o.Flavors, request.Flavor, o.DefaultFlavor, "flavor",
		func(f sandbox.Flavor) string { return f.Name }); err != nil {
		return spec, err
	}
	if spec.Flavor, err = resized(spec.Flavor, &request, o); err != nil {
		return spec, err
	}
	return spec, checkEnv("create", request.Env, maxEnvBytes)
}

// Sizes that a request may ask for; a host that has less caps them.
const (
	minMemoryMB = 32
	maxMemoryMB = 1 << 20
	maxCPUs     = 255
)

// resized is a flavor with the processors and the memory of a request. What
// else there is to have comes from the smallest flavor with so much memory.
func resized(f sandbox.Flavor, request *sandbox.SessionRequest, o *Options) (sandbox.Flavor, error) {
	cpus, memory := request.CPUs, request.MemoryMB
	if cpus < 0 || cpus > maxCPUs {
		return f, invalid("create", request.Session, fmt.Sprintf("a session has 1 to %d processors", maxCPUs))
	}
	if memory < 0 || memory > maxMemoryMB || memory > 0 && memory < minMemoryMB {
		return f, invalid("create", request.Session, fmt.Sprintf("a session has %d to %d MB of memory", minMemoryMB, maxMemoryMB))
	}
	cpus, memory = cmp.Or(cpus, f.CPUs), cmp.Or(memory, f.MemoryMB)
	if cpus == f.CPUs && memory == f.MemoryMB {
		return f, nil
	}
	for _, f = range o.Flavors {
		if f.MemoryMB == memory && f.CPUs == cpus {
			return f, nil
		}
		if f.MemoryMB >= memory {
			break
		}
	}
	f.Name, f.CPUs, f.MemoryMB, f.Capped = "custom", cpus, memory, ""
	f.DiskMB = min(f.DiskMB, max(memory/2, 1)) // files lie in memory
	return capFlavor(f, o.HostCPUs, o.total()), nil
}

// pick finds what is called name, or usual when name is empty.
func pick[T any](all []T, name, usual, what string, nameOf func(T) string) (T, error) {
	if name == "" {
		name = usual
	}
	names := make([]string, 0, len(all))
	for _, one := range all {
		if nameOf(one) == name {
			return one, nil
		}
		names = append(names, nameOf(one))
	}
	var none T
	return none, invalid("create", "", fmt.Sprintf("unknown %s %.40q; use one of: %s", what, name, strings.Join(names, ", ")))
}

func checkEnv(op string, env []string, most int) error {
	size := 0
	for _, pair := range env {
		size += len(pair)
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" || strings.ContainsRune(pair, 0) {
			return invalid(op, "", "an environment variable is NAME=VALUE, without NUL")
		}
	}
	if len(env) > maxEnv || size > most {
		return invalid(op, "", fmt.Sprintf("at most %d environment variables of %d bytes in all", maxEnv, most))
	}
	return nil
}

// checkExec returns what is wrong with an execution that is asked for.
func checkExec(request *sandbox.ExecRequest) error {
	switch {
	case (request.Code == "") == (len(request.Argv) == 0):
		return invalid("execute", request.Session, "give either code or a command, and not an empty one")
	case len(request.Argv) > 0 && request.Argv[0] == "":
		return invalid("execute", request.Session, "the command is empty")
	case request.Timeout < 0:
		return invalid("execute", request.Session, "the timeout must be above 0")
	case len(request.Argv) > maxArgs:
		return invalid("execute", request.Session, fmt.Sprintf("a command has at most %d arguments", maxArgs))
	case len(request.Dir) >= sandbox.MaxPath:
		return invalid("execute", request.Session, "the working directory is too long")
	}
	return checkEnv("execute", request.Vars, maxVarBytes) // it is kept as long as the work waits and runs
}

// newSandboxID returns an id that is never used again.
func newSandboxID() sandbox.ID { return sandbox.ID("sb-" + random(10)) }

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
