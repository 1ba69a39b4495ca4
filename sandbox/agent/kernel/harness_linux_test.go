package kernel_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
)

// patience is how long a test waits for a kernel on a busy machine.
const patience = 30 * time.Second

// interpreters are the host's own; never those of a PATH.
var interpreters = map[sandbox.Language]string{
	sandbox.Python: "/usr/bin/python3",
	sandbox.Node:   "/usr/bin/node",
	sandbox.Bash:   "/bin/bash",
}

// A process is a kernel that runs as the agent would run it.
type process struct {
	*kernel.Conn
	t       *testing.T
	cmd     *exec.Cmd
	control *os.File
	out     [2]*tap
	version string
	runs    int
	again   *time.Timer // repeats an interrupt; see the package comment
}

// A tap collects what comes out of one pipe.
type tap struct {
	mu   sync.Mutex
	data bytes.Buffer
	grew chan struct{} // one token when there may be more
	r    *os.File
}

func newTap(t *testing.T) (*tap, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{grew: make(chan struct{}, 1), r: r}
	go p.read()
	return p, w
}

// read holds the lock while it reads, so that no bytes are between the pipe and
// the buffer when another looks.
func (p *tap) read() {
	raw, err := p.r.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, 64<<10)
	for n := 1; n > 0; {
		err = raw.Read(func(fd uintptr) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			n, err = syscall.Read(int(fd), buffer)
			if n > 0 {
				p.data.Write(buffer[:n])
			}
			return !errors.Is(err, syscall.EAGAIN)
		})
		if err != nil {
			return
		}
		select {
		case p.grew <- struct{}{}:
		default:
		}
	}
}

// take returns what there is and what is in the pipe now, and forgets it.
func (p *tap) take(t *testing.T) string {
	t.Helper()
	for {
		p.mu.Lock()
		left := inPipe(t, p.r)
		p.mu.Unlock()
		if left == 0 {
			break
		}
		p.wait(t)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := p.data.String()
	p.data.Reset()
	return text
}

func (p *tap) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.grew:
	case <-time.After(10 * time.Millisecond):
	}
}

// until waits for text in the output, and leaves it there.
func (p *tap) until(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; p.wait(t) {
		p.mu.Lock()
		found := strings.Contains(p.data.String(), text)
		p.mu.Unlock()
		if found {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in the output within %v", text, patience)
		}
	}
}

// start starts a kernel, or skips the test where its interpreter is missing.
func start(t *testing.T, lang sandbox.Language, env ...string) *process {
	t.Helper()
	interpreter := interpreters[lang]
	if _, err := os.Stat(interpreter); err != nil {
		if os.Getenv("SANDWARDEN_TEST_STRICT") == "1" {
			t.Fatalf("%s is missing", interpreter)
		}
		t.Skipf("%s is missing", interpreter)
	}
	argv, more := kernel.Command(lang, interpreter, writeDriver(t, lang))
	return launch(t, lang, argv, append(more, env...))
}

func writeDriver(t *testing.T, lang sandbox.Language) string {
	t.Helper()
	name, source, ok := kernel.Driver(lang)
	if !ok {
		t.Fatalf("no driver for %s", lang)
	}
	driver := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(driver, source, 0o600); err != nil {
		t.Fatal(err)
	}
	return driver
}

// launch starts a program that is to be a kernel, and waits until it is.
func launch(t *testing.T, lang sandbox.Language, argv, env []string) *process {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "kernel")
	p := &process{Conn: kernel.NewConn(ours, lang), t: t, control: ours}
	p.cmd = exec.CommandContext(t.Context(), argv[0], argv[1:]...) // its stdin is /dev/null
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}, env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var ends [2]*os.File
	p.out[0], ends[0] = newTap(t)
	p.out[1], ends[1] = newTap(t)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = ends[0], ends[1], []*os.File{theirs}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{theirs, ends[0], ends[1]} {
		f.Close()
	}
	t.Cleanup(p.stop)
	p.limit(patience)
	m, err := p.Next()
	if err != nil || m.Ready == nil {
		t.Fatalf("the first message is %+v, %v; want ready; stderr: %s", m, err, p.out[1].take(t))
	}
	p.version = m.Ready.Version
	return p
}

func (p *process) limit(d time.Duration) { p.control.SetReadDeadline(time.Now().Add(d)) }

// stop ends the kernel and everything in its process group.
func (p *process) stop() {
	p.control.Close()
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.cmd.Wait()
	p.out[0].r.Close()
	p.out[1].r.Close()
}

// interrupt sends SIGINT as the agent does: to the process group, and again
// if the cell does not end.
func (p *process) interrupt() {
	p.t.Helper()
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	p.again = time.AfterFunc(500*time.Millisecond, func() { syscall.Kill(group, syscall.SIGINT) })
}

// An outcome is all that came of a cell.
type outcome struct {
	kernel.Done
	stdout, stderr string
	displays       []kernel.Display
}

func (o *outcome) String() string {
	exit, failure := "none", "none"
	if o.Exit != nil {
		exit = strconv.Itoa(*o.Exit)
	}
	if o.Failure != nil {
		failure = o.Failure.Name + ": " + o.Failure.Message
	}
	return fmt.Sprintf("ok %v, exit %s, result %q, failure %q, interrupted %v\nstdout: %s\nstderr: %s",
		o.OK, exit, o.Result, failure, o.Interrupted, o.stdout, o.stderr)
}

// begin sends a cell and returns at once.
func (p *process) begin(code string) {
	p.t.Helper()
	p.runs++
	if err := p.SendRun(fmt.Sprint("r", p.runs), code); err != nil {
		p.t.Fatalf("SendRun: %v", err)
	}
}

// end waits until the cell that was begun last is done.
func (p *process) end() *outcome {
	p.t.Helper()
	p.limit(patience)
	o := &outcome{}
	for {
		m, err := p.Next()
		switch {
		case err != nil:
			p.t.Fatalf("Next: %v; stdout: %s; stderr: %s", err, p.out[0].take(p.t), p.out[1].take(p.t))
		case m.Display != nil:
			o.displays = append(o.displays, *m.Display)
		case m.Done != nil:
			if want := fmt.Sprint("r", p.runs); m.Done.ID != want {
				p.t.Fatalf("done names %q, want %q", m.Done.ID, want)
			}
			o.Done = *m.Done
			if p.again != nil {
				p.again.Stop()
			}
			o.stdout, o.stderr = p.out[0].take(p.t), p.out[1].take(p.t)
			return o
		default:
			p.t.Fatalf("unexpected message %+v", m)
		}
	}
}

func (p *process) run(code string) *outcome {
	p.t.Helper()
	p.begin(code)
	return p.end()
}

// gone waits until the kernel has closed its end.
func (p *process) gone() {
	p.t.Helper()
	p.limit(patience)
	for {
		if _, err := p.Next(); err != nil {
			if !errors.Is(err, io.EOF) {
				p.t.Fatalf("the channel ended with %v, want io.EOF", err)
			}
			return
		}
	}
}

// A cell is code, and what is to become of it. Empty expectations of text are
// not looked at; use is for what must be equal.
type cell struct {
	code     string
	stdout   string // equal, if not empty
	stderr   string // contained
	noStderr bool
	not      string // in neither
	result   string // equal, if not empty
	failure  string // the name, for a cell that fails with one
	message  string // of the failure: contained
	exit     int    // status of a cell that exits
	exits    bool
	fails    bool // without a failure
}

// check runs cells in one kernel.
func check(t *testing.T, p *process, cells []cell) {
	t.Helper()
	for _, c := range cells {
		o := p.run(c.code)
		fault := func(what string) {
			t.Helper()
			t.Fatalf("%s\n--- code\n%s\n--- came\n%s\n--- want\n%+v", what, c.code, o, c)
		}
		switch {
		case o.OK != (c.failure == "" && !c.fails && (!c.exits || c.exit == 0)):
			fault("ok")
		case c.stdout != "" && o.stdout != c.stdout:
			fault("stdout")
		case !strings.Contains(o.stderr, c.stderr):
			fault("stderr")
		case c.noStderr && o.stderr != "":
			fault("stderr is not empty")
		case c.not != "" && strings.Contains(o.stdout+o.stderr, c.not):
			fault("output has what it must not have")
		case c.result != "" && o.Result != c.result:
			fault("result")
		case c.failure != "" && (o.Failure == nil || o.Failure.Name != c.failure || !strings.Contains(o.Failure.Message, c.message)):
			fault("failure")
		case c.failure == "" && o.Failure != nil:
			fault("failure")
		case c.exits && (o.Exit == nil || *o.Exit != c.exit):
			fault("exit")
		}
	}
}

// inPipe returns how many bytes wait in a pipe.
func inPipe(t *testing.T, r *os.File) int {
	t.Helper()
	raw, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		return 0 // closed
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
