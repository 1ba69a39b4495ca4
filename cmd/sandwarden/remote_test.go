package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/transport"
	"github.com/sandwarden/sandwarden/transport/transporttest"
)

// A safeBuffer is written by one goroutine and read by another.
type safeBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// A user types commands for a daemon that is not real.
type user struct {
	t       *testing.T
	url     string
	stdin   io.Reader
	environ []string
	out     safeBuffer
	err     safeBuffer
}

// newUser is a user of sessions. The middle sees the requests before they do.
func newUser(t *testing.T, sessions transport.Sessions, middle func(http.Handler) http.Handler) *user {
	t.Helper()
	h := transport.New(sessions, transport.Options{})
	var served http.Handler = h
	if middle != nil {
		served = middle(h)
	}
	server := httptest.NewServer(served)
	t.Cleanup(func() {
		if err := h.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return &user{t: t, url: server.URL, stdin: strings.NewReader("")}
}

// types runs a command, and returns its exit status and what it printed anew.
func (u *user) types(ctx context.Context, args ...string) (status int, out, complaints string) {
	u.t.Helper()
	before, complained := len(u.out.String()), len(u.err.String())
	p := &program{
		args: append([]string{"sandwarden"}, args...), environ: append(u.environ, "SANDWARDEN_URL="+u.url),
		stdin: u.stdin, stdout: &u.out, stderr: &u.err,
	}
	status = p.run(ctx)
	return status, u.out.String()[before:], u.err.String()[complained:]
}

// shell is what the fake runs: a few words that its commands and code begin with.
func shell(ctx context.Context, r sandbox.ExecRequest, result *sandbox.ExecResult) error {
	line := r.Code
	if len(r.Argv) > 0 {
		line = r.Argv[len(r.Argv)-1]
	}
	say := func(s string) {
		r.Follow(sandbox.Stdout, []byte(s))
		result.Stdout = append(result.Stdout, s...)
	}
	switch {
	case strings.HasPrefix(line, "fail"):
		r.Follow(sandbox.Stderr, []byte("no\n"))
		result.Stderr = []byte("no\n")
		result.Exit.Code = 7
	case strings.HasPrefix(line, "die"):
		result.Exit = sandbox.Exit{Code: 137, Cause: sandbox.CauseOOM}
	case strings.HasPrefix(line, "many"):
		for i := range 50 {
			say(fmt.Sprintln(i))
		}
	case strings.HasPrefix(line, "wait"):
		say("waiting\n")
		<-ctx.Done()
		result.Exit = sandbox.Exit{Code: 130, Cause: sandbox.CauseKilled}
	default:
		say(fmt.Sprintf("\x1b[1m%s%q %s %s\n", r.Code, r.Argv, r.Dir, r.Vars))
	}
	return nil
}

func TestExec(t *testing.T) {
	fake := &transporttest.Sessions{Run: shell}
	u := newUser(t, fake, nil)
	u.environ = []string{"HERE=x"}
	for name, c := range map[string]struct {
		args       []string
		status     int
		out        string
		complaints string
	}{
		"a line":          {[]string{"exec", "echo hi"}, 0, "\x1b[1m" + `["sh" "-c" "echo hi"]  []` + "\n", ""},
		"a program":       {[]string{"exec", "-s", "s", "-w", "/tmp", "-e", "A=1", "-e", "HERE", "--", "ls", "-l"}, 0, "\x1b[1m" + `["ls" "-l"] /tmp [A=1 HERE=x]` + "\n", ""},
		"flags of its":    {[]string{"exec", "ls", "--json"}, 0, "\x1b[1m" + `["ls" "--json"]  []` + "\n", ""},
		"a status":        {[]string{"exec", "fail"}, 7, "", "no\n"},
		"a death":         {[]string{"exec", "die"}, 137, "", "it used more memory than its flavor allows"},
		"much":            {[]string{"exec", "many"}, 0, "0\n1\n2\n", ""},
		"as JSON":         {[]string{"exec", "--json", "fail"}, 7, `"stderr":"no\n"`, ""},
		"left to itself":  {[]string{"exec", "--detach", "-s", "s", "ls"}, 0, "exec-", ""},
		"nothing":         {[]string{"exec"}, 2, "", "something is missing"},
		"an unknown flag": {[]string{"exec", "--sesion", "s", "ls"}, 2, "", "unknown flag: --sesion"},
		"a bad variable":  {[]string{"exec", "-e", "=x", "ls"}, 2, "", "--env takes"},
		"help":            {[]string{"exec", "--help"}, 0, "--session", ""},
		"a bad address":   {[]string{"exec", "--url", "localhost:1", "ls"}, 1, "", "is no address of a daemon"},
		"a bad session":   {[]string{"exec", "-s", "a b", "ls"}, 1, "", "the session name has a space"},
	} {
		status, out, complaints := u.types(t.Context(), c.args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(complaints, c.complaints) || c.complaints == "" && complaints != "" {
			t.Errorf("%s: %d, %q, %q; want %d, %q, %q", name, status, out, complaints, c.status, c.out, c.complaints)
		}
	}
	left, _ := fake.List(t.Context(), sandbox.SessionQuery{})
	if len(left) != 1 || left[0].Name != "s" {
		t.Errorf("sessions of their own are left: %v", left)
	}
	if status, _, _ := u.types(t.Context(), "exec", "--keep", "ls"); status != 0 {
		t.Error(status)
	}
	if left, _ := fake.List(t.Context(), sandbox.SessionQuery{}); len(left) != 2 {
		t.Errorf("it was not kept: %v", left)
	}
}

// The end of the command's context is Ctrl-C.
func TestExec_Interrupt(t *testing.T) {
	u := newUser(t, &transporttest.Sessions{Run: shell}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !strings.Contains(u.out.String(), "waiting") {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if status, _, complaints := u.types(ctx, "exec", "wait"); status != 130 || complaints != "" {
		t.Errorf("status %d, %q", status, complaints)
	}
}

func TestExec_Stdin(t *testing.T) {
	var fake transporttest.Sessions
	fake.Run = func(ctx context.Context, r sandbox.ExecRequest, _ *sandbox.ExecResult) error {
		if !r.Stdin {
			return errors.New("there is no input")
		}
		for len(fake.Input("exec-1")) < 200<<10 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		r.Follow(sandbox.Stdout, []byte(fake.Input("exec-1")))
		return nil
	}
	u := newUser(t, &fake, nil)
	sent := strings.Repeat("0123456789abcde\n", 200<<10/16)
	u.stdin = strings.NewReader(sent)
	if status, out, complaints := u.types(t.Context(), "exec", "cat"); status != 0 || out != sent || complaints != "" {
		t.Errorf("status %d, %d bytes, %q", status, len(out), complaints)
	}
}

// Connections that break change nothing but the time that it takes.
func TestExec_BrokenConnections(t *testing.T) {
	var n atomic.Int64
	u := newUser(t, &transporttest.Sessions{Run: shell}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n.Add(1) % 3 {
			case 0: // before the daemon knows
				panic(http.ErrAbortHandler)
			case 1: // behind its back
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	})
	var want strings.Builder
	for i := range 50 {
		fmt.Fprintf(&want, "%d\n", i)
	}
	if status, out, complaints := u.types(t.Context(), "exec", "-s", "s", "many"); status != 0 || out != want.String() || complaints != "" {
		t.Errorf("status %d, %q, %q", status, out, complaints)
	}
}

func TestRunCode(t *testing.T) {
	u := newUser(t, &transporttest.Sessions{Run: shell}, nil)
	file := filepath.Join(t.TempDir(), "a.js")
	if err := os.WriteFile(file, []byte("1 + 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := u.types(t.Context(), "run", file, "--keep"); status != 0 || !strings.HasPrefix(out, "\x1b[1m1 + 1") {
		t.Errorf("%d %q", status, out)
	}
	if _, out, _ := u.types(t.Context(), "sessions", "ls", "--template", "node"); !strings.Contains(out, "anonymous-1") {
		t.Errorf("it was not run by node: %s", out)
	}
	u.stdin = strings.NewReader("fail(1)")
	if status, _, complaints := u.types(t.Context(), "run", "-s", "s", "-"); status != 7 || complaints != "no\n" {
		t.Errorf("%d %q", status, complaints)
	}
	if status, _, complaints := u.types(t.Context(), "run", "/nowhere"); status != 1 || !strings.Contains(complaints, "/nowhere") {
		t.Errorf("%d %q", status, complaints)
	}
}

func TestSessionsAndExecutions(t *testing.T) {
	u := newUser(t, &transporttest.Sessions{Run: shell}, nil)
	u.types(t.Context(), "exec", "-s", "s", "--", "printf", "\x1b]0;title\a\n\u202e")
	u.types(t.Context(), "exec", "-s", "s", "die")
	for name, c := range map[string]struct {
		args       []string
		status     int
		out        string
		complaints string
	}{
		"sessions":          {[]string{"sessions", "ls"}, 0, "s        python    small   ready   0", ""},
		"sessions as JSON":  {[]string{"sessions", "ls", "--json"}, 0, `{"sessions":[{"session_id":"s",`, ""},
		"one":               {[]string{"sessions", "show", "s"}, 0, "limits             cpus=1 disk_mb=512", ""},
		"one as JSON":       {[]string{"sessions", "show", "--json", "s"}, 0, `{"session_id":"s",`, ""},
		"none":              {[]string{"sessions", "show", "none"}, 1, "", "Session not found: none"},
		"no verb":           {[]string{"sessions"}, 2, "", "sandwarden sessions ls"},
		"a wrong verb":      {[]string{"sessions", "list"}, 2, "", "sandwarden sessions ls"},
		"executions":        {[]string{"executions", "ls", "s"}, 0, "finished  0     ", ""},
		"a death":           {[]string{"executions", "ls", "s", "--status", "failed"}, 0, "oom   ", ""},
		"no escapes":        {[]string{"executions", "ls", "s"}, 0, "printf \ufffd]0;title\ufffd \ufffd", ""},
		"executions, JSON":  {[]string{"executions", "ls", "s", "--json", "--limit", "1"}, 0, `"command":["sh","-c","die"]`, ""},
		"an execution":      {[]string{"executions", "show", "exec-1"}, 0, "exit_code        0\n", ""},
		"an execution raw":  {[]string{"executions", "show", "exec-1", "--json"}, 0, `"exit_code":0`, ""},
		"no execution":      {[]string{"executions", "show", "none"}, 1, "", "Execution not found: none"},
		"executions of all": {[]string{"executions", "ls"}, 2, "", "wrong arguments"},
		"logs of one":       {[]string{"logs", "exec-1"}, 0, "\x1b[1m" + `["printf"`, ""},
		"logs followed":     {[]string{"logs", "-f", "exec-1"}, 0, "\x1b[1m" + `["printf"`, ""},
		"logs of all":       {[]string{"logs", "s"}, 0, "\x1b[1m" + `["printf"`, ""},
		"logs as JSON":      {[]string{"logs", "--json", "s"}, 0, `"stdout":"\u001b[1m`, ""},
		"logs of none":      {[]string{"logs", "none"}, 1, "", "there is no execution and no session none"},
	} {
		status, out, complaints := u.types(t.Context(), c.args...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(complaints, c.complaints) || c.complaints == "" && complaints != "" {
			t.Errorf("%s: %d, %q, %q; want %d, %q, %q", name, status, out, complaints, c.status, c.out, c.complaints)
		}
		if c.args[0] != "logs" && strings.ContainsAny(out, "\x1b\a\u202e") {
			t.Errorf("%s moves the terminal: %q", name, out)
		}
	}
	if status, _, _ := u.types(t.Context(), "sessions", "stop", "s"); status != 0 {
		t.Error(status)
	}
	if status, _, _ := u.types(t.Context(), "sessions", "stop", "s"); status != 1 {
		t.Error(status)
	}
}

// A session's log goes on to its end.
func TestLogs_FollowASession(t *testing.T) {
	fake := &transporttest.Sessions{Run: shell}
	u := newUser(t, fake, nil)
	u.types(t.Context(), "exec", "-s", "s", "many")
	go func() {
		for !strings.Contains(u.out.String(), "\n49\n0\n1\n") { // the second time
			time.Sleep(time.Millisecond)
		}
		_ = fake.Stop(context.WithoutCancel(t.Context()), sandbox.Ref{Name: "s"})
	}()
	if status, out, complaints := u.types(t.Context(), "logs", "-f", "s"); status != 0 || complaints != "" || !strings.HasSuffix(out, "\n49\n") {
		t.Errorf("%d %q %q", status, out, complaints)
	}
}

func TestRemote_Token(t *testing.T) {
	var got []string
	u := newUser(t, &transporttest.Sessions{}, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			h.ServeHTTP(w, r)
		})
	})
	u.types(t.Context(), "sessions", "ls")
	u.environ = []string{"SANDWARDEN_TOKEN=of the environment"}
	u.types(t.Context(), "sessions", "ls")
	u.types(t.Context(), "sessions", "ls", "--token", "of the flag")
	if want := "[ Bearer of the environment Bearer of the flag]"; fmt.Sprint(got) != want {
		t.Errorf("got %q", got)
	}
}

func TestRemote_NobodyThere(t *testing.T) {
	u := &user{t: t, url: "http://127.0.0.1:1"}
	if status, _, complaints := u.types(t.Context(), "sessions", "ls"); status != 1 || !strings.Contains(complaints, "the daemon at http://127.0.0.1:1 does not answer: ") {
		t.Errorf("%d %q", status, complaints)
	}
}

func TestSpotOf(t *testing.T) {
	for arg, want := range map[string]spot{
		"a": {"", "a"}, "./a:b": {"", "./a:b"}, "/a:b": {"", "/a:b"}, "s:a": {"s", "a"}, "s:/a:b": {"s", "/a:b"}, "s:": {"s", "/work"}, ":a": {"", ":a"}, "-": {"", "-"},
	} {
		if got := spotOf(arg); got != want {
			t.Errorf("%s: %v", arg, got)
		}
	}
}

func TestCp_Files(t *testing.T) {
	fake := &transporttest.Sessions{}
	u := newUser(t, fake, nil)
	if _, _, err := fake.Create(t.Context(), sandbox.SessionRequest{Session: "s"}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.stdin = strings.NewReader("typed")
	for _, c := range []struct {
		args       []string
		status     int
		out        string
		complaints string
	}{
		{[]string{"cp", a, "s:x"}, 0, "", ""},
		{[]string{"cp", "s:x", "-"}, 0, "hello", ""},
		{[]string{"cp", "s:/work/x", b}, 0, "", ""},
		{[]string{"cp", "s:x", dir}, 0, "", ""},
		{[]string{"cp", a, "s:d/"}, 0, "", ""},
		{[]string{"cp", "s:d/a", "-"}, 0, "hello", ""},
		{[]string{"cp", "-", "s:y"}, 0, "", ""},
		{[]string{"cp", "s:y", "-"}, 0, "typed", ""},
		{[]string{"cp", "s:none", b}, 1, "", "there is no file none in the session s"},
		{[]string{"cp", "none:x", b}, 1, "", "Session not found: none"},
		{[]string{"cp", filepath.Join(dir, "none"), "s:x"}, 1, "", "no such file"},
		{[]string{"cp", a, b}, 2, "", "SESSION:PATH"},
		{[]string{"cp", "s:a", "s:b"}, 2, "", "SESSION:PATH"},
		{[]string{"cp", a}, 2, "", "something is missing"},
	} {
		status, out, complaints := u.types(t.Context(), c.args...)
		if status != c.status || out != c.out || !strings.Contains(complaints, c.complaints) || c.complaints == "" && complaints != "" {
			t.Errorf("%v: %d, %q, %q; want %d, %q, %q", c.args, status, out, complaints, c.status, c.out, c.complaints)
		}
	}
	for _, name := range []string{b, filepath.Join(dir, "x")} {
		if data, err := os.ReadFile(name); err != nil || string(data) != "hello" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".sandwarden-*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A tree that was packed here is the same when it is unpacked.
func TestTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(from, "d", "e"), 0o755))
	must(os.WriteFile(filepath.Join(from, "d", "run"), []byte("#!"), 0o755))
	must(os.Symlink("d/run", filepath.Join(from, "link")))
	var archive bytes.Buffer
	silent := func(format string, args ...any) { t.Errorf(format, args...) }
	must(packTree(&archive, from, silent))
	again := bytes.NewReader(archive.Bytes())
	must(unpackTree(&archive, to, silent))
	must(unpackTree(again, to, silent)) // over what is there
	if data, err := os.ReadFile(filepath.Join(to, "link")); err != nil || string(data) != "#!" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(filepath.Join(to, "d", "run")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(to, "d", "e")); err != nil || !info.IsDir() {
		t.Errorf("%v, %v", info, err)
	}
}

// What a sandbox packs may be made to harm.
func TestTree_Hostile(t *testing.T) {
	outside := t.TempDir()
	to := filepath.Join(outside, "in")
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, head := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "../up", Size: 1, Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: outside + "/absolute", Size: 1, Mode: 0o644},
		{Typeflag: tar.TypeSymlink, Name: "to-up", Linkname: ".."},
		{Typeflag: tar.TypeSymlink, Name: "to-root", Linkname: "/"},
		{Typeflag: tar.TypeLink, Name: "hard", Linkname: "../up"},
		{Typeflag: tar.TypeChar, Name: "device", Devmajor: 1},
		{Typeflag: tar.TypeDir, Name: "shut", Mode: 0},
		{Typeflag: tar.TypeReg, Name: "shut/x", Size: 1, Mode: 0o6777},
		{Typeflag: tar.TypeSymlink, Name: "inner", Linkname: "shut"},
		{Typeflag: tar.TypeSymlink, Name: "deep/er/home", Linkname: "../.."},
		{Typeflag: tar.TypeSymlink, Name: "through", Linkname: "deep/er/home/.."},
		{Typeflag: tar.TypeSymlink, Name: "deep/er/home/up", Linkname: ".."},
		{Typeflag: tar.TypeReg, Name: "inner/y", Size: 1, Mode: 0o644},
	} {
		if err := w.WriteHeader(&head); err != nil {
			t.Fatal(err)
		}
		if head.Size > 0 {
			io.WriteString(w, "x")
		}
	}
	w.Close()
	var complaints []string
	if err := unpackTree(&archive, to, func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }); err != nil {
		t.Error(err)
	}
	if len(complaints) != 8 {
		t.Errorf("%d complaints: %q", len(complaints), complaints)
	}
	if list, _ := os.ReadDir(outside); len(list) != 1 {
		t.Errorf("outside: %v", list)
	}
	if info, err := os.Stat(filepath.Join(to, "shut", "x")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	for _, name := range []string{"through", "up", "absolute", "to-up", "to-root", "hard", "device"} {
		if _, err := os.Lstat(filepath.Join(to, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there", name)
		}
	}
}

// A treeHouse has one directory, d, and keeps the tar that is put there.
type treeHouse struct {
	transporttest.Sessions

	tar  bytes.Buffer
	made string
}

func (h *treeHouse) Transfer(ctx context.Context, ref sandbox.Ref, r sandbox.FileRequest) (sandbox.Transfer, error) {
	switch {
	case r.Op == sandbox.FileStat && r.Path == "d":
		return &tale{Reader: strings.NewReader(`{"path":"/work/d","type":"directory"}`), Writer: io.Discard}, nil
	case r.Op == sandbox.FileMkdir:
		h.made = r.Path
	case r.Op == sandbox.FilePack:
		return &tale{Reader: bytes.NewReader(h.tar.Bytes()), Writer: io.Discard}, nil
	case r.Op == sandbox.FileUnpack && r.Path == h.made:
		return &tale{Reader: strings.NewReader(""), Writer: &h.tar}, nil
	}
	return h.Sessions.Transfer(ctx, ref, r)
}

// A tale is a transfer whose both ends are known.
type tale struct {
	io.Reader
	io.Writer
}

func (*tale) CloseWrite() error { return nil }
func (*tale) Close() error      { return nil }

func TestCp_Trees(t *testing.T) {
	fake := &treeHouse{}
	u := newUser(t, fake, nil)
	if _, _, err := fake.Create(t.Context(), sandbox.SessionRequest{Session: "s"}); err != nil {
		t.Fatal(err)
	}
	from, to := filepath.Join(t.TempDir(), "src"), t.TempDir()
	if err := os.MkdirAll(filepath.Join(from, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "below", "f"), bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, complaints := u.types(t.Context(), "cp", from, "s:d"); status != 0 || complaints != "" || fake.made != "d/src" {
		t.Fatalf("%d %q, made %q", status, complaints, fake.made)
	}
	if status, _, complaints := u.types(t.Context(), "cp", "s:d", to); status != 0 || complaints != "" {
		t.Fatalf("%d %q", status, complaints)
	}
	if data, err := os.ReadFile(filepath.Join(to, "d", "below", "f")); err != nil || len(data) != 1<<20 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if status, _, complaints := u.types(t.Context(), "cp", "s:d", "-"); status != 1 || !strings.Contains(complaints, "cannot be printed") {
		t.Errorf("%d %q", status, complaints)
	}
	whole := fake.tar.Len()
	fake.tar.Truncate(whole / 2)
	if status, _, complaints := u.types(t.Context(), "cp", "s:d", to); status != 1 || !strings.Contains(complaints, "EOF") {
		t.Errorf("a part: %d %q", status, complaints)
	}
}

func TestPlain(t *testing.T) {
	for s, want := range map[string]string{"é 語 ok": "é 語 ok", "a\x1b[1m\u009b\u202eb\n": "a\ufffd[1m\ufffd\ufffdb\ufffd", "\xff": "\ufffd"} {
		if got := plain(s); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
	if got, want := escaped("{\"é\":\"\u009b\u202e\U000e0001\"}\n"), "{\"é\":\"\\u009b\\u202e\\udb40\\udc01\"}\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
