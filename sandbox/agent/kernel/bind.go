package kernel

import (
	"encoding/json"
	"strings"

	"github.com/sandwarden/sandwarden/sandbox"
)

// BindID is the id of the [Done] that answers SendBind. Its OK says whether the
// kernel could take on what it was given.
const BindID = "bind"

// SendBind gives a kernel that was started before its session was known the
// session's working directory, unless that is empty, and its variables, "K=V".
// It comes before the first run. For variables of which [ReadAtStart] is true it
// is too late. Errors are those of SendRun.
func (c *Conn) SendBind(dir string, env []string) error {
	frame, err := c.encodeBind(dir, env)
	if err != nil {
		return err
	}
	return c.send(frame)
}

func (c *Conn) encodeBind(dir string, env []string) ([]byte, error) {
	if c.lines {
		return encodeLine(BindID, bindScript(dir, env))
	}
	return EncodeBind(dir, env)
}

// EncodeBind is the frame of SendBind, for a kernel that does not speak lines.
func EncodeBind(dir string, env []string) ([]byte, error) {
	body, err := json.Marshal(map[string]string{"bind": strings.Join(append([]string{dir}, env...), "\x00")})
	if err != nil {
		return nil, &sandbox.Error{Op: "bind", Kind: sandbox.Invalid, Detail: "the variables cannot be encoded", Err: err}
	}
	return frameOf(body)
}

// bindScript does in a shell what the other drivers do by themselves.
func bindScript(dir string, env []string) string {
	var script strings.Builder
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		script.WriteString("builtin export " + name + "=" + quoted(value) + "\n")
	}
	if dir != "" {
		script.WriteString("builtin cd -- " + quoted(dir) + " 2>/dev/null\n")
	}
	return script.String()
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// ReadAtStart reports whether an interpreter looks at one of the variables, "K=V",
// only when it starts, or could not be given it later.
func ReadAtStart(lang sandbox.Language, env []string) bool {
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if readAtStart(lang, name) {
			return true
		}
	}
	return false
}

func readAtStart(lang sandbox.Language, name string) bool {
	if !isIdentifier(name) {
		return true // no shell takes it, and the others are not asked
	}
	for _, prefix := range append([]string{"LD_", "LC_", "GLIBC_", "MALLOC_"}, startPrefixes(lang)...) {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "LANG", "LANGUAGE", "TZ":
		return true
	}
	return false
}

// startPrefixes begin the names of the interpreter's own variables, and those of
// libraries that a zygote may have loaded.
func startPrefixes(lang sandbox.Language) []string {
	switch lang {
	case sandbox.Python:
		return []string{"PYTHON", "MPL", "OPENBLAS_", "OMP_", "MKL_", "NUMEXPR_", "NPY_", "SSL_", "OPENSSL_"}
	case sandbox.Node:
		return []string{"NODE_", "UV_", "V8_", "NO_COLOR", "FORCE_COLOR", "SSL_", "OPENSSL_"}
	case sandbox.Bash:
		return []string{"BASH", "SHELLOPTS", "POSIXLY_CORRECT", "IFS", "HIST", "ENV", "PS4", "UID", "EUID", "PPID", "GLOBIGNORE"}
	}
	return nil
}

func isIdentifier(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
