package microsandbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox"
	"github.com/sandwarden/sandwarden/sandbox/microsandbox/msbtest"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// spec is what these tests make.
func spec() sandbox.Spec {
	return sandbox.Spec{Session: "s", Template: sandbox.Templates()[0], Flavor: sandbox.Flavors()[0]}
}

// prefix is that of the names of our sandboxes.
const prefix = "sw-0123456789ab-"

// eventually waits for something that comes by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// other starts a sandbox at the server, as another client of it would.
func other(t *testing.T, s *msbtest.Server, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := microsandbox.StartNamed(t.Context(), s.URL, name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServer_NotThere has a server that comes after the daemon.
func TestServer_NotThere(t *testing.T) {
	s := serve(t, msbtest.Options{})
	s.Fail(-1, msbtest.HangUp)
	b := open(t, s, microsandbox.Options{})
	told, ok := errors.AsType[*sandbox.Error](b.Ready())
	if !ok || told.Kind != sandbox.Unavailable || !strings.Contains(told.Remedy, "MSB_SERVER_URL") {
		t.Errorf("Ready: %+v, want where to look", told)
	}
	if _, err := b.Create(t.Context(), "sb-1", spec()); sandbox.KindOf(err) != sandbox.Unavailable {
		t.Errorf("Create: %v, want unavailable", err)
	}
	s.Fail(0, nil)
	x := sandboxtest.NewBox(t, b, spec()) // at once: Create looks again
	if o := x.Shell(t, "echo there"); string(o.Stdout) != "there\n" {
		t.Errorf("got %q %q", o.Stdout, o.Stderr)
	}
	if err := b.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

// TestServer_AwayForAWhile has one that goes while a program writes.
func TestServer_AwayForAWhile(t *testing.T) {
	for name, away := range map[string]func(s *msbtest.Server){
		"closed":  func(s *msbtest.Server) { s.Fail(-1, msbtest.HangUp) },
		"a proxy": func(s *msbtest.Server) { s.Fail(-1, msbtest.Unavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, msbtest.Options{})
			b := open(t, s, microsandbox.Options{})
			x := sandboxtest.NewBox(t, b, spec())
			id := x.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", "for i in $(seq 1 20); do echo $i; sleep 0.1; done; exit 3"}})
			time.AfterFunc(300*time.Millisecond, func() { away(s); s.Disconnect() })
			time.AfterFunc(1500*time.Millisecond, func() { s.Fail(0, nil) })
			var want strings.Builder
			for i := range 20 {
				fmt.Fprintln(&want, i+1)
			}
			if o := x.Await(t, id); string(o.Stdout) != want.String() || o.Exit.Code != 3 {
				t.Errorf("got %q, %+v", o.Stdout, o.Exit)
			}
			select {
			case <-x.Dead():
				t.Errorf("it died: %+v", x.Death())
			default:
			}
		})
	}
}

// TestServer_LosesAnswers has each call made twice.
func TestServer_LosesAnswers(t *testing.T) {
	s := serve(t, msbtest.Options{})
	b := open(t, s, microsandbox.Options{WatchInterval: time.Hour})
	s.Lose(1)
	x := sandboxtest.NewBox(t, b, spec())
	s.Lose(1)
	id := x.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", "echo ran >> log; cat; cat log"}, Stdin: true})
	s.Lose(1)
	if n, err := x.WriteStdin(t.Context(), id, 0, []byte("given\n")); err != nil || n != 6 {
		t.Errorf("WriteStdin = %d, %v", n, err)
	}
	s.Lose(1)
	if _, err := x.WriteStdin(t.Context(), id, 6, nil); err != nil {
		t.Error(err)
	}
	s.Lose(1)
	if o := x.Await(t, id); string(o.Stdout) != "given\nran\n" || o.Exit.Code != 0 {
		t.Errorf("got %q %q, %+v", o.Stdout, o.Stderr, o.Exit)
	}
	s.Lose(1)
	if got, err := x.Files(t, sandbox.FileRequest{Op: sandbox.FileRead, Path: "log"}, nil); string(got) != "ran\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	s.Lose(1)
	if err := x.Destroy(t.Context()); err != nil || len(s.Running()) > 0 {
		t.Errorf("Destroy: %v, and there runs %v", err, s.Running())
	}
}

// TestStart_InDoubt has starts that are heard and not answered, or hang.
func TestStart_InDoubt(t *testing.T) {
	for name, test := range map[string]struct {
		code  string
		fail  func(s *msbtest.Server)
		limit time.Duration
		kept  string // of the kernel's state
	}{
		"it runs":           {"import time; time.sleep(600)", func(s *msbtest.Server) { s.Lose(100) }, time.Minute, "7"},
		"it cannot be told": {"import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(600)", func(s *msbtest.Server) { s.Lose(100) }, time.Minute, "None"},
		"it never began":    {"kept = 8", func(s *msbtest.Server) { s.Fail(-1, msbtest.HangUp) }, time.Minute, "7"},
		"no answer comes":   {"kept = 8", func(s *msbtest.Server) { s.Fail(-1, msbtest.Hang) }, 300 * time.Millisecond, "7"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, msbtest.Options{})
			x := sandboxtest.NewBox(t, open(t, s, microsandbox.Options{WatchInterval: time.Hour}), spec())
			x.Code(t, "kept = 7")
			test.fail(s)
			ctx, cancel := context.WithTimeout(t.Context(), test.limit)
			defer cancel()
			err := x.Start(ctx, sandbox.Exec{ID: "doubt", Code: test.code, OutputLimit: 1000})
			if sandbox.KindOf(err) != sandbox.Unavailable {
				t.Errorf("Start: %v, want unavailable", err)
			}
			s.Fail(0, nil)
			s.Lose(0)
			if o := x.Code(t, "print(globals().get('kept'))"); strings.TrimSpace(string(o.Stdout)) != test.kept {
				t.Errorf("got %q %q %+v, want %s", o.Stdout, o.Stderr, o.Exit, test.kept)
			}
			if states, err := x.Executions(t.Context()); err != nil || slices.ContainsFunc(states, func(s sandbox.ExecState) bool { return s.Running }) {
				t.Errorf("there runs %v, %v", states, err)
			}
		})
	}
}

// TestSandbox_Ends has deaths from outside and from inside.
func TestSandbox_Ends(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, s *msbtest.Server, x *sandboxtest.Box){
		"its machine": func(t *testing.T, s *msbtest.Server, _ *sandboxtest.Box) {
			t.Helper()
			if err := s.Kill(s.Running()[0]); err != nil {
				t.Fatal(err)
			}
		},
		"its agent, by what runs in it": func(t *testing.T, _ *msbtest.Server, x *sandboxtest.Box) {
			t.Helper()
			x.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", `for p in /proc/[0-9]*; do grep -qz serve $p/cmdline && kill -9 ${p#/proc/}; done; exit 0`}})
		},
		"the agent's program, by what runs in it": func(t *testing.T, _ *msbtest.Server, x *sandboxtest.Box) {
			t.Helper()
			x.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", `rm -f /tmp/.sandwarden/agent /var/tmp/.sandwarden/agent /work/.sandwarden/agent`}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, msbtest.Options{})
			x := sandboxtest.NewBox(t, open(t, s, microsandbox.Options{}), spec())
			x.Begin(t, sandbox.Exec{Argv: []string{"sleep", "600"}})
			kill(t, s, x)
			began := time.Now()
			var err error
			for err == nil && time.Since(began) < 20*time.Second {
				_, err = x.Follow(t.Context(), 0, time.Second)
			}
			if told, ok := errors.AsType[*sandbox.Error](err); !ok || told.Kind != sandbox.Stopped || told.Cause != sandbox.CauseAgentLost {
				t.Errorf("Follow: %+v, want stopped for agent_lost", err)
			}
			select {
			case <-x.Dead():
			case <-time.After(20 * time.Second):
				t.Fatal("its death was not noticed")
			}
			if d := x.Death(); d.Cause != sandbox.CauseAgentLost || d.Evidence == "" {
				t.Errorf("died of %+v", d)
			}
			if err := x.Destroy(t.Context()); err != nil || len(s.Running()) > 0 {
				t.Errorf("Destroy: %v, and there runs %v", err, s.Running())
			}
		})
	}
}

// TestOrphans has sandboxes that nobody owns, and those of others.
func TestOrphans(t *testing.T) {
	s := serve(t, msbtest.Options{})
	others := []string{"another", "sw-ffffffffffff-sb-1", "sw-0123456789ab"}
	other(t, s, others...)
	other(t, s, prefix+"sb-old", prefix+"sb-older", prefix+"sb-claimed")
	b := open(t, s, microsandbox.Options{OrphanInterval: 50 * time.Millisecond, Claimed: []sandbox.ID{"sb-claimed"}})
	x := sandboxtest.NewBox(t, b, spec())
	want := append([]string{prefix + "sb-claimed", prefix + string(x.ID())}, others...)
	slices.Sort(want)
	eventually(t, "the end of the orphans", func() bool { return slices.Equal(s.Running(), want) })
	<-time.After(500 * time.Millisecond) // some looks more
	if diff := cmp.Diff(want, s.Running()); diff != "" {
		t.Errorf("there runs (-want +got):\n%s", diff)
	}
	if ids, err := b.List(t.Context()); err != nil || len(ids) != 2 {
		t.Errorf("List = %v, %v; want ours", ids, err)
	}
	other(t, s, prefix+"sb-late")
	eventually(t, "the end of a later one", func() bool { return slices.Equal(s.Running(), want) })
}

// TestStart_NotSure has a server that gives up waiting, and one that is right to.
func TestStart_NotSure(t *testing.T) {
	for name, verdict := range map[string]msbtest.Verdict{"timed out": msbtest.TimedOut, "not verified": msbtest.Unverified} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, msbtest.Options{Verdict: verdict, StartDelay: 500 * time.Millisecond})
			x := sandboxtest.NewBox(t, open(t, s, microsandbox.Options{}), spec())
			if o := x.Shell(t, "echo there"); string(o.Stdout) != "there\n" {
				t.Errorf("got %q %q", o.Stdout, o.Stderr)
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		s := serve(t, msbtest.Options{Verdict: msbtest.TimedOut, StartDelay: time.Hour})
		b := open(t, s, microsandbox.Options{StartTimeout: 300 * time.Millisecond})
		if _, err := b.Create(t.Context(), "sb-1", spec()); sandbox.KindOf(err) != sandbox.Unavailable {
			t.Errorf("Create: %v, want unavailable", err)
		}
		if left := s.Running(); len(left) > 0 {
			t.Errorf("there runs %v", left)
		}
	})
}

// TestWarmExecution is one command of the server, where it ends soon.
func TestWarmExecution(t *testing.T) {
	s := serve(t, msbtest.Options{})
	x := sandboxtest.NewBox(t, open(t, s, microsandbox.Options{WatchInterval: time.Hour}), spec())
	x.Code(t, "0") // starts the kernel
	least := 1000
	for range 10 {
		s.Calls()
		if o := x.Code(t, "print(1 + 1)"); string(o.Stdout) != "2\n" {
			t.Errorf("got %q %q, %+v", o.Stdout, o.Stderr, o.Exit)
		}
		least = min(least, len(s.Calls()))
	}
	if least != 1 {
		t.Errorf("it took %d calls, want 1", least)
	}
}

func TestKey(t *testing.T) {
	s := serve(t, msbtest.Options{Key: "msb_right", Scope: "default"})
	for key, want := range map[string]string{"msb_wrong": "MSB_API_KEY", "": "MSB_API_KEY", "wrong": "MSB_API_KEY"} {
		b := open(t, s, microsandbox.Options{Key: key})
		told, ok := errors.AsType[*sandbox.Error](b.Ready())
		if !ok || told.Kind != sandbox.Unavailable || !strings.Contains(told.Remedy, want) {
			t.Errorf("%q: Ready: %+v, want a remedy", key, told)
		}
		if _, err := b.Create(t.Context(), "sb-1", spec()); sandbox.KindOf(err) != sandbox.Unavailable {
			t.Errorf("%q: Create: %v", key, err)
		}
	}
	sandboxtest.NewBox(t, open(t, s, microsandbox.Options{Key: "msb_right"}), spec())
	elsewhere := serve(t, msbtest.Options{Key: "msb_right", Scope: "elsewhere"})
	told, ok := errors.AsType[*sandbox.Error](open(t, elsewhere, microsandbox.Options{Key: "msb_right"}).Ready())
	if !ok || told.Kind != sandbox.Unavailable || !strings.Contains(told.Remedy, "namespace") {
		t.Errorf("a key for another namespace: Ready: %+v, want a remedy", told)
	}
}

// TestScripts has code that the server's own interpreter breaks, in both
// dialects.
func TestScripts(t *testing.T) {
	const script = `
def twice(x):
    y = x

    return y * 2
for i in range(2):
    print(twice(i))
print("done")
twice(21)`
	for name, dialect := range map[string]msbtest.Dialect{"namespaces": msbtest.Namespaces, "projects": msbtest.Projects} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, msbtest.Options{Dialect: dialect})
			b := open(t, s, microsandbox.Options{})
			x := sandboxtest.NewBox(t, b, spec())
			if o := x.Code(t, script); string(o.Stdout) != "0\n2\ndone\n42\n" || o.Exit.Result != "42" || o.Exit.Code != 0 {
				t.Errorf("got %q %q, %+v", o.Stdout, o.Stderr, o.Exit)
			}
			if ids, err := b.List(t.Context()); err != nil || !slices.Equal(ids, []sandbox.ID{x.ID()}) {
				t.Errorf("List = %v, %v", ids, err)
			}
			if stats, err := x.Stats(t.Context()); err != nil || stats.MemoryBytes <= 0 {
				t.Errorf("Stats = %+v, %v", stats, err)
			}
			if err := x.Destroy(t.Context()); err != nil || len(s.Running()) > 0 {
				t.Errorf("Destroy: %v, and there runs %v", err, s.Running())
			}
		})
	}
}

// TestAdopt has a second daemon that goes on with what a first one left.
func TestAdopt(t *testing.T) {
	s := serve(t, msbtest.Options{})
	first := open(t, s, microsandbox.Options{})
	x := sandboxtest.NewBox(t, first, spec())
	x.Code(t, "kept = 7")
	id := x.Begin(t, sandbox.Exec{Argv: []string{"sh", "-c", "echo early; sleep 0.5; echo late"}})
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := open(t, s, microsandbox.Options{Claimed: []sandbox.ID{x.ID(), "sb-gone"}, OrphanInterval: 20 * time.Millisecond})
	<-time.After(300 * time.Millisecond) // it has looked for orphans
	if _, err := second.Adopt(t.Context(), "sb-gone"); sandbox.KindOf(err) != sandbox.Stopped {
		t.Errorf("Adopt of one that is not there: %v", err)
	}
	adopted, err := second.Adopt(t.Context(), x.ID())
	if err != nil {
		t.Fatal(err)
	}
	y := &sandboxtest.Box{Sandbox: adopted, After: x.After, Language: x.Language}
	states, err := y.Executions(t.Context())
	if err != nil || !slices.Contains(states, sandbox.ExecState{ID: id, Running: true}) {
		t.Errorf("Executions = %v, %v; want the one that goes on", states, err)
	}
	if o := y.Await(t, id); string(o.Stdout) != "early\nlate\n" || o.Exit.Code != 0 {
		t.Errorf("got %q, %+v", o.Stdout, o.Exit)
	}
	next := sandbox.Exec{ID: "next", Code: "print(kept)", OutputLimit: 1000}
	if err := y.Start(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if o := y.Await(t, "next"); string(o.Stdout) != "7\n" {
		t.Errorf("the kernel's state: %q %q", o.Stdout, o.Stderr)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	open(t, s, microsandbox.Options{}) // a third one, to which nobody said that it is wanted
	eventually(t, "its end", func() bool { return len(s.Running()) == 0 })
}

// TestCreate_Cancelled gives up at many moments.
func TestCreate_Cancelled(t *testing.T) {
	s := serve(t, msbtest.Options{StartDelay: 50 * time.Millisecond})
	b := open(t, s, microsandbox.Options{})
	created := 0
	for i := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*25*time.Millisecond)
		x, err := b.Create(ctx, sandbox.ID(fmt.Sprintf("sb-%d", i)), spec())
		cancel()
		if err == nil {
			created++
			err = x.Destroy(t.Context())
		} else if k := sandbox.KindOf(err); k != sandbox.Timeout && k != sandbox.Canceled {
			t.Errorf("Create: %v", err)
		}
		if i == 0 && err == nil {
			t.Error("nobody waited, and it was made")
		}
	}
	t.Logf("%d were made in time", created)
	eventually(t, "that nothing is left", func() bool { return len(s.Running()) == 0 })
}

// TestCreate_CancelledBeforeThereIsOne has a server that makes the sandbox after
// it was told to stop it.
func TestCreate_CancelledBeforeThereIsOne(t *testing.T) {
	s := serve(t, msbtest.Options{PullDelay: 300 * time.Millisecond})
	b := open(t, s, microsandbox.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := b.Create(ctx, "sb-1", spec()); sandbox.KindOf(err) != sandbox.Timeout {
		t.Errorf("Create: %v, want a timeout", err)
	}
	stops := 0
	eventually(t, "a second stop", func() bool {
		for _, c := range s.Calls() {
			if c.Method == "sandbox.stop" {
				stops++
			}
		}
		return stops > 1 && len(s.Running()) == 0
	})
}

// TestDestroy_Unreachable has a server that is not there at the end.
func TestDestroy_Unreachable(t *testing.T) {
	s := serve(t, msbtest.Options{})
	x := sandboxtest.NewBox(t, open(t, s, microsandbox.Options{}), spec())
	s.Fail(-1, msbtest.HangUp)
	if err := x.Destroy(t.Context()); sandbox.KindOf(err) != sandbox.Unavailable {
		t.Errorf("Destroy: %v, want unavailable", err)
	}
	s.Fail(0, nil)
	if err := x.Destroy(t.Context()); err != nil || len(s.Running()) > 0 {
		t.Errorf("Destroy: %v, and there runs %v", err, s.Running())
	}
}
