//go:build linux

package native_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/native"
	"github.com/sandwarden/sandwarden/sandbox/sandboxtest"
)

// open returns a backend on directories of its own.
func open(t *testing.T) *native.Backend {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	opts := native.Options{
		StateDir: t.TempDir(), RuntimeDir: t.TempDir(),
		AllowUnenforced: ordinary(),
		Logger:          slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if !ordinary() { // whose tests are those of sandboxes that are made when they are asked for
		warm(&opts)
	}
	b, err := native.New(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// warm has sandboxes made ready, and kernels forked, as the daemon has it.
func warm(opts *native.Options) {
	opts.PoolMin, opts.PoolMax, opts.PoolShare, opts.ZygoteForks = 1, 4, 10, 1000
}

func TestBackend(t *testing.T) {
	sandboxtest.TestBackend(t, func(t *testing.T) sandbox.Backend {
		t.Helper()
		return open(t)
	})
}

// ordinary reports whether the tests run for an ordinary user.
func ordinary() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && !strings.Contains(string(data), "4294967295")
}

// An ordinary user has the same backend, but for the limits that it names.
func TestOrdinaryUser(t *testing.T) {
	if ordinary() || os.Getuid() != 0 {
		t.Skip("the whole package runs for an ordinary user")
	}
	const nobody = 65534
	home, err := os.MkdirTemp("/tmp", "ordinary") //nolint:usetesting // t.TempDir is below folders that are root's
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(home) }()
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^(TestBackend|TestWalls|TestPIDOneIsGuarded|TestAgentKilled|TestOrphanGrace|TestVolumes_OrdinaryUser|TestZygote_ForksOn|TestZygote_KernelIsLockedDown|TestZygote_Replaced|TestReady_BoundLate|TestReady_ServesOn|TestNamer_Closed)$", "-test.count=1")
	cmd.Env = []string{"TMPDIR=" + home, "HOME=" + home, "PATH=/usr/bin:/bin"}
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("as an ordinary user: %v", err)
	}
	if strings.Contains(string(out), "must first") || !strings.Contains(string(out), "PASS") {
		t.Error("the tests did not run")
	}
}
