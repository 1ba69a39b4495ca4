//go:build linux

package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also what runs inside the groups: with helperEnv set to
// the number of files that it is passed from descriptor 3 on, it writes "0" to
// each and becomes the program of its arguments.
const helperEnv = "SANDWARDEN_CGROUP_JOIN"

func TestMain(m *testing.M) {
	if n := os.Getenv(helperEnv); n != "" {
		if err := join(n, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "join:", err)
			os.Exit(111)
		}
	}
	os.Exit(m.Run())
}

// join never returns when it works.
func join(files string, args []string) error {
	runtime.LockOSThread() // version 1 moves threads
	n, err := strconv.Atoi(files)
	if err != nil {
		return err
	}
	for fd := 3; fd < 3+n; fd++ {
		if _, err := unix.Write(fd, []byte("0")); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	if args[0] != "hog" {
		return unix.Exec(args[0], args, nil)
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	data := make([]byte, size<<20)
	for i := range data {
		data[i] = byte(i) // every page is ours
	}
	_, err = os.Stdin.Read(data[:1]) // until the test closes it
	return err
}

// host opens the real groups of this host, and checks in the end that nothing
// is left of it.
func host(t *testing.T, memory int64) *Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes control groups")
	}
	h, err := Open(t.Context(), Options{Instance: instance(t), Memory: memory})
	if err != nil {
		t.Skipf("this host has no control groups for us: %v", err)
	}
	t.Cleanup(func() { gone(t, h) })
	return h
}

func instance(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("test-%d-%s", os.Getpid(), strings.ToLower(t.Name()))
}

// gone closes h and fails if anything of it is left.
func gone(t *testing.T, h *Host) {
	t.Helper()
	left, err := h.List()
	if err != nil || len(left) > 0 {
		t.Errorf("sessions left: %v, %v", left, err)
	}
	trees := h.trees
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for _, tree := range trees {
		if _, err := os.Stat(tree.dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", tree.dir, err)
		}
	}
}

// session makes a session that is killed and removed in the end.
func session(t *testing.T, h *Host, limits Limits) *Session {
	t.Helper()
	s, err := h.Create("sb-"+filepath.Base(t.Name()), limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := s.Kill(ctx); err != nil {
			t.Error(err)
		}
		if err := s.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// inside prepares a command that runs in s's work, as a tenant.
func inside(t *testing.T, s *Session, args ...string) *exec.Cmd {
	t.Helper()
	files, err := s.WorkFiles()
	return joining(t, files, err, args...)
}

// joining prepares a command that joins the groups of files, as a tenant.
func joining(t *testing.T, files []*os.File, err error, args ...string) *exec.Cmd {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, file := range files {
			file.Close()
		}
	})
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{helperEnv + "=" + strconv.Itoa(len(files))}
	cmd.ExtraFiles = files
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tenant, Gid: tenant}}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// start starts a command that is reaped in the end, and waits for the line
// "ready" on its output.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // mostly dead already
		_ = cmd.Wait()
	})
	line := make([]byte, 6)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "ready\n" {
		t.Fatalf("the command said %q, %v", line[:n], err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: never", what)
}

// population counts what is in a session, agent included.
func population(t *testing.T, s *Session) int {
	t.Helper()
	have, err := s.processes()
	if err != nil {
		t.Fatal(err)
	}
	return len(have)
}
