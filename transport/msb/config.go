package msb

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// A config is what a sandbox is to be. Null is as good as nothing.
type config struct {
	Image     string            `json:"image,omitempty"`
	Memory    uint32            `json:"memory,omitempty"` // MiB
	CPUs      uint8             `json:"cpus,omitempty"`
	Volumes   []string          `json:"volumes,omitempty"` // "host:guest", "host:guest:ro"
	Ports     []string          `json:"ports,omitempty"`
	Envs      []string          `json:"envs,omitempty"` // "K=V"
	DependsOn []string          `json:"depends_on,omitempty"`
	Workdir   string            `json:"workdir,omitempty"`
	Shell     string            `json:"shell,omitempty"`
	Scripts   map[string]string `json:"scripts,omitempty"`
	Exec      string            `json:"exec,omitempty"`
}

// shell is what runs scripts.
func (c *config) shell() string {
	if c.Shell == "" {
		return "/bin/sh"
	}
	return c.Shell
}

// What a config may hold.
const (
	maxScripts = 64
	maxScript  = 96 << 10 // bytes; it travels as an argument
	maxDepends = 32
)

var scriptName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)

// check returns what is wrong with a config, or what we do not have.
func (h *Handler) check(c *config) *refusal {
	if _, refused := h.template(c.Image); refused != nil {
		return refused
	}
	if len(c.Ports) > 0 {
		return invalid("config.ports is not supported: sandboxes have no network of their own, so no port of them can be reached; leave it out")
	}
	for _, v := range c.Volumes {
		if refused := h.checkVolume(v); refused != nil {
			return refused
		}
	}
	if c.Workdir != "" && (!path.IsAbs(c.Workdir) || len(c.Workdir) >= sandbox.MaxPath || strings.ContainsRune(c.Workdir, 0)) {
		return invalid("config.workdir must be an absolute path, as /work/project, got %q", clip(c.Workdir))
	}
	if strings.ContainsRune(c.Shell, 0) || strings.ContainsRune(c.Exec, 0) || len(c.Exec) > maxScript || len(c.Shell) >= sandbox.MaxPath {
		return invalid("config.shell and config.exec must be short texts without NUL")
	}
	if len(c.DependsOn) > maxDepends {
		return invalid("config.depends_on has %d names, and %d are the most", len(c.DependsOn), maxDepends)
	}
	for _, name := range c.DependsOn {
		if why := nameFault("Sandbox name", name); why != "" {
			return invalid("config.depends_on: %s", why)
		}
	}
	return checkScripts(c.Scripts)
}

func checkScripts(scripts map[string]string) *refusal {
	if len(scripts) > maxScripts {
		return invalid("config.scripts has %d scripts, and %d are the most", len(scripts), maxScripts)
	}
	for name, text := range scripts {
		switch {
		case !scriptName.MatchString(name):
			return invalid("config.scripts: %q is no name of a script: it has up to 63 letters, digits, dots, hyphens and underscores", clip(name))
		case len(text) > maxScript || strings.ContainsRune(text, 0):
			return invalid("config.scripts: %s must have at most %d bytes, none of them NUL", name, maxScript)
		}
	}
	return nil
}

// template returns the template that an image stands for.
func (h *Handler) template(image string) (string, *refusal) {
	name, ok := h.options.Images[image]
	if !ok {
		name, ok = h.options.Images[strings.TrimSuffix(image, ":latest")]
	}
	if ok {
		return name, nil
	}
	return "", invalid("config.image %q is not available on this server; use one of: %s",
		clip(image), strings.Join(slices.Sorted(maps.Keys(h.options.Images)), ", "))
}

// checkVolume refuses a volume that is not configured here. Those that are,
// every sandbox sees.
func (h *Handler) checkVolume(text string) *refusal {
	host, inside, _ := strings.Cut(text, ":")
	inside, access, _ := strings.Cut(inside, ":")
	var known []string
	for _, v := range h.options.Volumes {
		same := path.Clean(v.HostPath) == path.Clean(host) && v.Path == path.Clean(inside)
		if same && (access == "" || access == string(v.Access)) {
			return nil
		}
		known = append(known, asWritten(v))
	}
	if known == nil {
		return invalid("config.volumes: %q is not shared with sandboxes: this server's operator has configured no volumes (setting volumes); leave it out", clip(text))
	}
	return invalid("config.volumes: %q is not shared with sandboxes; the volumes that this server's operator has configured are: %s", clip(text), strings.Join(known, ", "))
}

// asWritten is a volume as configurations have it.
func asWritten(v sandbox.Volume) string {
	text := v.HostPath + ":" + v.Path
	if v.Access != sandbox.AccessAny {
		text += ":" + string(v.Access)
	}
	return text
}
