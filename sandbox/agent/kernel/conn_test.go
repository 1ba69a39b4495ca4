package kernel_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
)

// A pipe reads what a kernel said, and keeps what it is told.
type pipe struct {
	io.Reader
	bytes.Buffer
}

func (p *pipe) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func frame(body string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body
}

func hear(lang sandbox.Language, said string) (kernel.Message, error) {
	return kernel.NewConn(&pipe{Reader: strings.NewReader(said)}, lang).Next()
}

func TestConn_Next(t *testing.T) {
	three := 3
	tests := map[string]struct {
		lang sandbox.Language
		said string
		want kernel.Message
	}{
		"ready":       {sandbox.Python, frame(`{"ready":{"version":"3.11.2"}}`), kernel.Message{Ready: &kernel.Ready{Version: "3.11.2"}}},
		"display":     {sandbox.Node, frame(`{"display":{"mime":"image/png","data":"AAE="}}`), kernel.Message{Display: &kernel.Display{MIME: "image/png", Data: []byte{0, 1}}}},
		"done":        {sandbox.Python, frame(`{"done":{"id":"1","ok":true,"result":"42"}}`), kernel.Message{Done: &kernel.Done{ID: "1", OK: true, Result: "42"}}},
		"done, all":   {sandbox.Python, frame(`{"done":{"id":"1","ok":false,"failure":{"name":"E","message":"m"},"exit":3,"interrupted":true}}`), kernel.Message{Done: &kernel.Done{ID: "1", Exit: &three, Interrupted: true, Failure: &sandbox.Failure{Name: "E", Message: "m"}}}},
		"long words":  {sandbox.Python, frame(`{"done":{"id":"1","ok":true,"result":"` + strings.Repeat("ü", 40000) + `"}}`), kernel.Message{Done: &kernel.Done{ID: "1", OK: true, Result: strings.Repeat("ü", 32768)}}},
		"shell ready": {sandbox.Bash, "ready 5.2.15\n", kernel.Message{Ready: &kernel.Ready{Version: "5.2.15"}}},
		"shell done":  {sandbox.Bash, "done 7 3 interrupted\n", kernel.Message{Done: &kernel.Done{ID: "7", Exit: &three, Interrupted: true}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := hear(test.lang, test.said)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConn_NextRefuses(t *testing.T) {
	large := base64.StdEncoding.EncodeToString(make([]byte, sandbox.MaxDisplay+1))
	tests := map[string]struct {
		lang sandbox.Language
		said string
	}{
		"a frame that is too large":   {sandbox.Python, "\x00\x10\x00\x01" + strings.Repeat(" ", 1<<20+1)},
		"half a head":                 {sandbox.Python, "\x00\x00"},
		"half a frame":                {sandbox.Python, frame(`{"ready":{"version":"3"}}`)[:10]},
		"an empty frame":              {sandbox.Python, frame("")},
		"no message":                  {sandbox.Python, frame("{}")},
		"null":                        {sandbox.Python, frame("null")},
		"two messages":                {sandbox.Python, frame(`{"ready":{"version":"3"},"done":{"id":"1"}}`)},
		"two values":                  {sandbox.Python, frame(`{"ready":{"version":"3"}}{}`)},
		"an unknown field":            {sandbox.Python, frame(`{"ready":{"version":"3","more":1}}`)},
		"a version with controls":     {sandbox.Python, frame(`{"ready":{"version":"3\u001b[2J"}}`)},
		"a done without an id":        {sandbox.Python, frame(`{"done":{"ok":true}}`)},
		"a status that is none":       {sandbox.Python, frame(`{"done":{"id":"1","exit":256}}`)},
		"a display that is too large": {sandbox.Python, frame(`{"display":{"mime":"image/png","data":"` + large + `"}}`)},
		"a display without a type":    {sandbox.Python, frame(`{"display":{"mime":"","data":""}}`)},
		"a display of a strange type": {sandbox.Python, frame(`{"display":{"mime":"a b\r\n","data":""}}`)},
		"not base64":                  {sandbox.Python, frame(`{"display":{"mime":"a/b","data":"*"}}`)},
		"a shell's long line":         {sandbox.Bash, "ready " + strings.Repeat("5", 2000) + "\n"},
		"a shell's half line":         {sandbox.Bash, "ready 5"},
		"a shell's nonsense":          {sandbox.Bash, "hello\n"},
		"a shell's large status":      {sandbox.Bash, "done 1 256\n"},
		"a shell's third word":        {sandbox.Bash, "done 1 2 three\n"},
		"a shell's fourth word":       {sandbox.Bash, "done 1 2 interrupted 4\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := hear(test.lang, test.said)
			if _, ok := errors.AsType[*sandbox.Error](err); !ok {
				t.Errorf("Next() = %+v, %v; want an error", m, err)
			}
		})
	}
}

func TestConn_NextAtTheEnd(t *testing.T) {
	for _, lang := range []sandbox.Language{sandbox.Python, sandbox.Bash} {
		if _, err := hear(lang, ""); !errors.Is(err, io.EOF) {
			t.Errorf("%s: Next() = %v, want io.EOF", lang, err)
		}
	}
}

func TestConn_SendRun(t *testing.T) {
	tests := map[string]struct {
		lang     sandbox.Language
		id, code string
		want     string
		kind     sandbox.Kind
	}{
		"a frame":             {lang: sandbox.Python, id: "1", code: "x\x00<\n", want: frame(`{"run":{"id":"1","code":"x\u0000\u003c\n"}}`)},
		"a line and its code": {lang: sandbox.Bash, id: "1", code: "ß\n", want: "run 1 3\nß\n"},
		"an id of two words":  {lang: sandbox.Bash, id: "1 2", kind: sandbox.Invalid},
		"an empty id":         {lang: sandbox.Python, kind: sandbox.Invalid},
		"NUL in a shell":      {lang: sandbox.Bash, id: "1", code: "\x00", kind: sandbox.Invalid},
		"too much code":       {lang: sandbox.Node, id: "1", code: strings.Repeat("x", 4<<20), kind: sandbox.Invalid},
		"too much shell":      {lang: sandbox.Bash, id: "1", code: strings.Repeat("x", 4<<20+1), kind: sandbox.Invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var p pipe
			err := kernel.NewConn(&p, test.lang).SendRun(test.id, test.code)
			if got := p.String(); got != test.want {
				t.Errorf("sent %.200q, want %q", got, test.want)
			}
			if e, ok := errors.AsType[*sandbox.Error](err); (err != nil) != (test.want == "") || ok && (e.Kind != test.kind || e.Detail == "") {
				t.Errorf("SendRun() = %v", err)
			}
		})
	}
}

func TestDriver_OfEachLanguage(t *testing.T) {
	for _, template := range sandbox.Templates() {
		name, source, ok := kernel.Driver(template.Language)
		argv, _ := kernel.Command(template.Language, "/bin/interpreter", "/lib/"+name)
		if !ok || len(source) == 0 || argv[0] != "/bin/interpreter" || argv[len(argv)-1] != "/lib/"+name {
			t.Errorf("%s: %q, %d bytes, %v, %q", template.Language, name, len(source), ok, argv)
		}
	}
	if _, _, ok := kernel.Driver("cobol"); ok {
		t.Error("cobol has a driver")
	}
}

// FuzzConn_Next feeds what a kernel under attack may say. Whatever comes is
// within the bounds, or an error.
func FuzzConn_Next(f *testing.F) {
	for _, said := range []string{
		frame(`{"ready":{"version":"3.11.2"}}`),
		frame(`{"display":{"mime":"image/png","data":"AAE="}}`),
		frame(`{"done":{"id":"1","ok":false,"failure":{"name":"E","message":"m"},"exit":3,"interrupted":true}}`),
		"ready 5.2\n", "done 1 0\n", "done 1 3 interrupted\n", "\xff\xff\xff\xff",
	} {
		f.Add([]byte(said), false)
		f.Add([]byte(said), true)
	}
	f.Fuzz(func(t *testing.T, said []byte, shell bool) {
		lang := sandbox.Python
		if shell {
			lang = sandbox.Bash
		}
		c := kernel.NewConn(&pipe{Reader: bytes.NewReader(said)}, lang)
		for {
			m, err := c.Next()
			if err != nil {
				if fmt.Sprint(m) != fmt.Sprint(kernel.Message{}) {
					t.Fatalf("a message %+v with an error", m)
				}
				return
			}
			checkBounds(t, m)
		}
	})
}

func checkBounds(t *testing.T, m kernel.Message) {
	t.Helper()
	set := 0
	if m.Ready != nil {
		set++
		if len(m.Ready.Version) == 0 || len(m.Ready.Version) > 256 {
			t.Errorf("version %q", m.Ready.Version)
		}
	}
	if m.Display != nil {
		set++
		if len(m.Display.Data) > sandbox.MaxDisplay || len(m.Display.MIME) > 128 || strings.ContainsAny(m.Display.MIME, " \r\n;") {
			t.Errorf("display %.200q of %d bytes", m.Display.MIME, len(m.Display.Data))
		}
	}
	if m.Done != nil {
		set++
		d := m.Done
		if d.ID == "" || len(d.ID) > 256 || len(d.Result) > kernel.MaxResult || d.Exit != nil && (*d.Exit < 0 || *d.Exit > 255) {
			t.Errorf("done %.300v", d)
		}
		if d.Failure != nil && (len(d.Failure.Name) > 256 || len(d.Failure.Message) > 8<<10) {
			t.Errorf("failure %.300v", d.Failure)
		}
	}
	if set != 1 {
		t.Errorf("%d messages in one", set)
	}
}
