package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/config"
)

// files is a file system of some texts.
type files map[string]string

func (f files) read(name string) ([]byte, error) {
	text, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func TestLoad_EnvFilePrecedence(t *testing.T) {
	for name, test := range map[string]struct {
		files   files
		environ []string
		port    int
		source  string
	}{
		"over the configuration file": {files: files{"sandwarden.yaml": "port: 1", ".env": "MCP_SERVER_PORT=2"}, port: 2, source: "file .env"},
		"under the environment":       {files: files{".env": "MCP_SERVER_PORT=2"}, environ: []string{"MCP_SERVER_PORT=3"}, port: 3, source: "environment MCP_SERVER_PORT"},
		"over an empty variable":      {files: files{".env": "MCP_SERVER_PORT=2"}, environ: []string{"MCP_SERVER_PORT="}, port: 2, source: "file .env"},
		"empty in the file":           {files: files{"sandwarden.yaml": "port: 1", ".env": "MCP_SERVER_PORT="}, port: 1, source: "file sandwarden.yaml"},
		"another file":                {files: files{".env": "MCP_SERVER_PORT=2", "e": "MCP_SERVER_PORT=4"}, environ: []string{"SANDWARDEN_ENV_FILE=e"}, port: 4, source: "file e"},
		"no variable names the file":  {files: files{".env": "MCP_SERVER_PORT=2"}, environ: []string{"SANDWARDEN_ENV_FILE="}, port: 2, source: "file .env"},
		"an empty file":               {files: files{".env": "MCP_SERVER_PORT=2", "/dev/null": ""}, environ: []string{"SANDWARDEN_ENV_FILE=/dev/null"}, port: 8775, source: "default"},
		"several files":               {files: files{".env.dev": "MCP_SERVER_PORT=2", ".env": "MCP_SERVER_PORT=3", ".env.local": "MSB_MAX_SESSIONS=4"}, environ: []string{"SANDWARDEN_ENV_FILE=.env.dev, .env, .env.local"}, port: 3, source: "file .env"},
		"other variables":             {files: files{".env": "PORT=2\nMCP_PORT=3\nSANDWARDEN_CONFIG=other.yaml\nnonsense\n\"", "other.yaml": "port: 5"}, port: 8775, source: "default"},
	} {
		t.Run(name, func(t *testing.T) {
			c, report, err := config.Load(config.Sources{Environ: test.environ, ReadFile: test.files.read})
			if err != nil {
				t.Fatal(err)
			}
			if source := sourceOf(report, "port"); c.Port != test.port || source != test.source {
				t.Errorf("port %d from %q, want %d from %q", c.Port, source, test.port, test.source)
			}
			if len(report.Warnings) > 0 {
				t.Errorf("warnings %q", report.Warnings)
			}
		})
	}
}

func TestLoad_EnvFileGrammar(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":                 {`SANDWARDEN_ALLOWED_HOSTS=a`, "a"},
		"last of two":           {"SANDWARDEN_ALLOWED_HOSTS=a\nSANDWARDEN_ALLOWED_HOSTS=b", "b"},
		"export and spaces":     {"  export  SANDWARDEN_ALLOWED_HOSTS = a \r\n", "a"},
		"quoted name":           {`'SANDWARDEN_ALLOWED_HOSTS'=a`, "a"},
		"comments":              {"# SANDWARDEN_ALLOWED_HOSTS=b\nSANDWARDEN_ALLOWED_HOSTS=a # b", "a"},
		"nothing but a comment": {"SANDWARDEN_ALLOWED_HOSTS= # b", ""},
		"single quotes":         {"SANDWARDEN_ALLOWED_HOSTS='a' # b", "a"},
		"double quotes":         {`SANDWARDEN_ALLOWED_HOSTS="a,b"`, "a,b"},
		"several lines":         {"A='\n'\nSANDWARDEN_ALLOWED_HOSTS=\"a,\nb\"\nB=", "a,b"},
		"escaped line":          {`SANDWARDEN_ALLOWED_HOSTS="a,\nb"`, "a,b"},
		"replaced":              {"A=a\nSANDWARDEN_ALLOWED_HOSTS=${A},${B:-b},${ENVIRON},${C}c", "a,b,e,c"},
		"replaced in quotes":    {"A=a\nSANDWARDEN_ALLOWED_HOSTS=\"${A}\"", "a"},
		"environment first":     {"ENVIRON=a\nSANDWARDEN_ALLOWED_HOSTS=${ENVIRON}", "e"},
		"byte order mark":       {"\ufeffSANDWARDEN_ALLOWED_HOSTS=a", "a"},
		"no value":              {"SANDWARDEN_ALLOWED_HOSTS\nB=2", ""},
		"after a broken line":   {"this is no=statement\nA=\"\nSANDWARDEN_ALLOWED_HOSTS=a", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := config.Load(config.Sources{Environ: []string{"ENVIRON=e"}, ReadFile: only(".env", test.text)})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.AllowedHosts, ","); got != test.want {
				t.Errorf("%q gave %q, want %q", test.text, got, test.want)
			}
		})
	}
}

// Nothing is run, and no dollar is lost that a key may have.
func TestLoad_EnvFileTakesTextAsItIs(t *testing.T) {
	for text, want := range map[string]string{
		`$HOME/x`: "/$HOME/x", `$(id)`: "/$(id)", "`id`": "/`id`", `'${ENVIRON}'`: "/${ENVIRON}", `a\b`: `/a\b`, `a#b`: "/a#b", `"a\"b\\\$"`: `/a"b\\$`, `'it\'s'`: "/it's",
	} {
		// The slash stands before what is looked at, as paths are made absolute.
		line := "SANDWARDEN_TOKENS_FILE=/" + text
		if q := text[0]; q == '"' || q == '\'' {
			line = "SANDWARDEN_TOKENS_FILE=" + string(q) + "/" + text[1:]
		}
		c, _, err := config.Load(config.Sources{Environ: []string{"ENVIRON=e"}, ReadFile: only(".env", line)})
		if err != nil || c.TokensFile != want {
			t.Errorf("%s gave %q, %v; want %q", line, c.TokensFile, err, want)
		}
	}
}

func TestLoad_EnvFileFaults(t *testing.T) {
	shared := func(text string) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if name != ".env" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), &fs.PathError{Op: "read", Path: name, Err: config.ErrShared}
		}
	}
	failing := func(err error) func(string) ([]byte, error) {
		return func(name string) ([]byte, error) {
			if name != ".env" {
				return nil, fs.ErrNotExist
			}
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		}
	}
	for name, test := range map[string]struct {
		read    func(string) ([]byte, error)
		environ []string
		want    string // empty is no fault
	}{
		"value":                   {read: only(".env", "MCP_SERVER_PORT=abc"), want: "Invalid MCP_SERVER_PORT: invalid literal for int() with base 10: 'abc' (in .env)"},
		"port range":              {read: only(".env", "MCP_SERVER_PORT=0"), want: "Invalid MCP_SERVER_PORT: Invalid port number: 0 (in .env)"},
		"what lacks a name":       {read: only(".env", "MSB_SERVER_URL=x"), want: "Invalid server URL format: x. Must start with http:// or https:// (MSB_SERVER_URL in .env)"},
		"what does not fit":       {read: only(".env", "MSB_SESSION_TIMEOUT=9"), want: "Cleanup interval (60s) must be less than session timeout (9s) (MSB_SESSION_TIMEOUT in .env)"},
		"open quote":              {read: only(".env", "A=1\nMSB_API_KEY=\"hush"), want: ".env, line 2, is not NAME=value with the quotes closed, so MSB_API_KEY has no value"},
		"no equal sign":           {read: only(".env", "A='\n\n'\n\nexport MSB_MAX_SESSIONS 5"), want: ".env, line 5, is not NAME=value with the quotes closed, so MSB_MAX_SESSIONS has no value"},
		"values of values":        {read: only(".env", "A=aa\n"+strings.Repeat("A=${A}${A}\n", 60)), want: ".env, line 20, replaces more than a file of variables needs"},
		"others may write":        {read: shared("MSB_MAX_SESSIONS=5\nMCP_SERVER_HOST=::"), want: ".env sets MCP_SERVER_HOST, MSB_MAX_SESSIONS, and others than this user may change it: take that right from them, or set SANDWARDEN_ENV_FILE=.env to trust it"},
		"trusted by name":         {read: shared("MSB_MAX_SESSIONS=5"), environ: []string{"SANDWARDEN_ENV_FILE=.env"}},
		"others', for others":     {read: shared("DATABASE=x")},
		"a folder":                {read: failing(syscall.EISDIR)},
		"not readable":            {read: failing(fs.ErrPermission), want: "cannot read the file of variables .env: permission denied (SANDWARDEN_ENV_FILE=/dev/null reads none)"},
		"named, and not there":    {read: only(".env", ""), environ: []string{"SANDWARDEN_ENV_FILE=e"}, want: "cannot read the file of variables 'e': file does not exist"},
		"one of several is there": {read: only("e", "A=1"), environ: []string{"SANDWARDEN_ENV_FILE=e,f"}, want: "cannot read the file of variables 'f': file does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := config.Load(config.Sources{Environ: test.environ, ReadFile: test.read})
			var got, want []string
			if bad, ok := errors.AsType[*config.Error](err); ok {
				got = bad.Faults
			}
			if test.want != "" {
				want = []string{test.want}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_RevivedInAnEnvFile(t *testing.T) {
	_, report, err := config.Load(config.Sources{ReadFile: only(".env", "MSB_LOG_FORMAT=text\nMSB_REQUEST_TIMEOUT=300")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"MSB_REQUEST_TIMEOUT", "MSB_LOG_FORMAT"}, report.NewlyEffective); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{".env"}, report.EnvFiles); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Whoever starts the daemon in a folder of others must not be ruled by a file
// that they put there.
func TestLoad_RefusesFilesOfOthers(t *testing.T) {
	me := os.Getuid()
	for name, test := range map[string]struct {
		mode    fs.FileMode
		uid     int
		environ []string
		refused bool
	}{
		"mine":                  {mode: 0o644, uid: me},
		"all may write":         {mode: 0o646, uid: me, refused: true},
		"the group may, root":   {mode: 0o664, uid: 0, refused: true},
		"moved into namespace":  {mode: 0o666, uid: me, environ: []string{"SANDWARDEN_IN_NAMESPACE=1"}},
		"another ordinary user": {mode: 0o644, uid: me + 4242, refused: me != 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for file, text := range map[string]string{".env": "MCP_SERVER_PORT=80", "sandwarden.yaml": "port: 80"} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(file, test.mode); err != nil {
					t.Fatal(err)
				}
				environ := append([]string{"SANDWARDEN_STATE_DIR=/s"}, test.environ...)
				c, _, err := config.Load(config.Sources{Environ: environ, UID: test.uid})
				if refused := err != nil && strings.Contains(err.Error(), file) && strings.Contains(err.Error(), "others"); refused != test.refused || !refused && c.Port != 80 {
					t.Errorf("%s: port %d, error %v; want it refused: %v", file, c.Port, err, test.refused)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("a name is trust", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(name, []byte("port: 81"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o666); err != nil {
			t.Fatal(err)
		}
		c, _, err := config.Load(config.Sources{Environ: []string{"SANDWARDEN_CONFIG=" + name}})
		if err != nil || c.Port != 81 {
			t.Errorf("port %d, error %v", c.Port, err)
		}
	})
}

// Whatever stands in a file of variables, reading it neither panics nor says
// anything of it over several lines, and what it sets is what a variable in the
// environment would set.
func FuzzEnvFile(f *testing.F) {
	for _, text := range []string{
		"MSB_API_KEY='a\\'b' # c\n", "export MSB_API_KEY=\"${A:-b}\\n\"\r\n", "MSB_API_KEY=\"", "=\n'", "MCP_SERVER_PORT=${MCP_SERVER_PORT}\n\ufeff#", "SANDWARDEN_TOKENS_FILE=$(id) #\\",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, report, err := config.Load(config.Sources{ReadFile: only(".env", text)})
		if bad, ok := errors.AsType[*config.Error](err); ok {
			for _, fault := range bad.Faults {
				if strings.Contains(fault, "\n") && !strings.Contains(fault, "MSB_SHARED_VOLUME_PATH") {
					t.Errorf("fault on several lines: %q", fault)
				}
			}
			return
		}
		switch {
		case err != nil:
			t.Errorf("error of another type: %v", err)
		case c.Port < 1 || c.Port > 65535:
			t.Errorf("accepted port %d", c.Port)
		case len(report.EnvFiles) > 0 && !strings.Contains(text, "="):
			t.Errorf("%q sets nothing, and was read", text)
		}
	})
}
