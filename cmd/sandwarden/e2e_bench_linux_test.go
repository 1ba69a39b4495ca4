package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// bench runs the load harness in a place, with a daemon of its own unless the
// arguments name one, and returns what it printed. Nothing may be left of it.
func (p *place) bench(t *testing.T, args ...string) string {
	t.Helper()
	cmd := p.command(append([]string{"bench"}, args...)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+p.home)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("bench %q: %v\n%s\n%s", args, err, &stdout, &stderr)
	}
	p.wantNoBench(t)
	return stdout.String()
}

// wantNoBench fails if a daemon that a run started for itself is still there, or
// its directories.
func (p *place) wantNoBench(t *testing.T) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(p.home, "sw-*")); len(left) > 0 {
		t.Errorf("directories are left: %q", left)
	}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		environ, _ := os.ReadFile(name + "/environ")
		if strings.Contains(string(environ), "SANDWARDEN_STATE_DIR="+p.home+"/sw-bench") && !isGone(identity(filepath.Base(name))) {
			t.Errorf("process %s is left", filepath.Base(name))
		}
	}
}

func TestBench_OnADaemonOfItsOwn(t *testing.T) {
	p := newPlace(t)
	for _, test := range []struct {
		args string
		want []string // parts of the report
	}{
		{"burst --n 3", []string{"| burst, wall |", "| bare python3, one by one |"}},
		{"staggered --n 3 --interval 10ms --api rest", []string{"100/s fixed, n 3 | could not be begun | 0 |"}},
		{"churn --duration 300ms --clients 2 --api rest", []string{"| sessions made, used and stopped |"}},
		{"turnover --duration 300ms --clients 2", []string{"| sessions made and stopped |"}},
		{"hold --n 1,3", []string{"| tasks a session |", "| at 3: stop, each |", "| sessions held | 4"}},
		{"stream --n 50 --clients 3 --stuck 2", []string{"| bytes lost by a reader | 0 |", "| stuck readers | 2"}},
		{"soak --duration 500ms --clients 2", []string{"| things done |", "| daemon's memory at the end |"}},
		{"chaos --duration 1s --n 2 --clients 2", []string{"| askers without an answer | 0 |", "| kernels killed |"}},
		{"warm --duration 300ms --rate 50 --arrival poisson", []string{"/s poisson, n "}},
	} {
		report := p.bench(t, strings.Fields(test.args+" --settle 100ms")...)
		for _, want := range append(test.want, "| sessions left | 0 |", "| processes left | 0 |", "| daemon's memory |") {
			if !strings.Contains(report, want) {
				t.Errorf("bench %s: there is no %q in\n%s", test.args, want, report)
			}
		}
	}
}

func TestBench_OnADaemonThatRuns(t *testing.T) {
	s := serve(t)
	s.run(t, "somebody", "x = 1")
	report := s.bench(t, "create", "--n", "3", "--url", s.url, "--json", filepath.Join(s.home, "report.json"))
	if !strings.Contains(report, "| create, first result and stop |") || !strings.Contains(report, "| processes left | 0 |") {
		t.Errorf("report:\n%s", report)
	}
	if got := s.run(t, "somebody", "x"); got != "1" {
		t.Errorf("another's session has %q", got)
	}
}

// A sandbox that is there after a run and was not before makes it fail: this one
// is another's, which a run cannot know.
func TestBench_FindsASandboxThatIsLeft(t *testing.T) {
	s := serve(t)
	cmd := s.command("bench", "warm", "--duration", "2s", "--url", s.url, "--linger", "200ms")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	told, ended := startUntil(t, cmd, "warm")
	s.create(t, "left")
	<-ended
	if status := cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{"something of it is left: ", " processes, before ", " namespaces, before ", " control groups, before ", "(sandwarden-agent)"} {
		if os.Geteuid() != 0 && strings.Contains(want, "groups") {
			continue // there are none
		}
		if !strings.Contains(told.String(), want) {
			t.Errorf("there is no %q in\n%s\n%s", want, told, &stdout)
		}
	}
}

// What was measured is shown, also when the daemon has no room for the rest.
func TestBench_AsFarAsItGets(t *testing.T) {
	p := newPlace(t, "MSB_MAX_SESSIONS=4", "MSB_ENABLE_LRU_EVICTION=false", "SANDWARDEN_LIMITS_ADMISSION_WAIT=0")
	s := p.serve(t)
	cmd := s.command("bench", "hold", "--n", "2,9", "--settle", "100ms", "--url", s.url)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil || !strings.Contains(stderr.String(), "4") || !strings.Contains(string(out), "| sessions held | 3.00 |") || strings.Contains(string(out), "stop of each") {
		t.Errorf("%v\n%s\n%s", err, out, &stderr)
	}
	if left := s.sessions(t); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// A run that is interrupted ends its daemon, and says so.
func TestBench_Interrupted(t *testing.T) {
	p := newPlace(t)
	cmd := p.command("bench", "soak", "--duration", "10m")
	cmd.Env = append(cmd.Env, "TMPDIR="+p.home)
	told, ended := startUntil(t, cmd, "soak")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	<-ended
	if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(told.String(), "interrupt") {
		t.Errorf("status %d\n%s", status, told)
	}
	p.wantNoBench(t)
}

// A firstWord says when a word was first written to it.
type firstWord struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	heard chan struct{}
	done  bool
}

// Write implements [io.Writer].
func (f *firstWord) Write(text []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.text.Write(text)
	if !f.done && strings.Contains(f.text.String(), f.word) {
		f.done = true
		close(f.heard)
	}
	return n, err
}

// String implements [fmt.Stringer].
func (f *firstWord) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

// startUntil starts a command and waits until it says a word on stderr. ended has
// its end.
func startUntil(t *testing.T, cmd *exec.Cmd, word string) (told *firstWord, ended <-chan error) {
	t.Helper()
	told = &firstWord{word: word, heard: make(chan struct{})}
	cmd.Stderr = told
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	select {
	case <-told.heard:
	case err := <-end:
		t.Fatalf("it ended by itself: %v\n%s", err, told)
	}
	return told, end
}
