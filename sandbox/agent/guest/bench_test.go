//go:build linux

package guest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/sandbox/agent/boot"
	"github.com/sandwarden/sandwarden/sandbox/agent/kernel"
	"github.com/sandwarden/sandwarden/sandbox/agent/wire"
)

// BenchmarkCode is one run of code in a Python kernel that there is, from its start
// to its last frame, as the agent's service does it.
func BenchmarkCode(b *testing.B) {
	name, source, _ := kernel.Driver(sandbox.Python)
	driver := filepath.Join(b.TempDir(), name)
	if err := os.WriteFile(driver, source, 0o600); err != nil {
		b.Fatal(err)
	}
	g, err := newGuest(boot.Config{
		RingBytes: 1 << 20, Kernel: boot.Kernel{Language: sandbox.Python, Interpreter: "/usr/bin/python3", Driver: driver},
	}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	s, after := service{g}, uint64(0)
	run := func(id string) {
		r, err := s.Begin(b.Context(), &wire.BeginRequest{
			Start: &wire.StartRequest{Id: id, Code: "1 + 1", Dir: "/", OutputLimit: 1000},
			Read:  &wire.ReadOutputRequest{After: after, MaxBytes: maxRead, WaitMs: 10_000}, From: after,
			SettleUs: uint32((10 * time.Second).Microseconds()),
		})
		if err != nil || len(r.GetFrames()) != 2 || string(r.GetFrames()[0].GetData()) != "2\n" || r.GetFrames()[1].GetExit().GetCode() != 0 {
			b.Fatal(r, err)
		}
		after = r.GetFrames()[1].GetSeq()
	}
	run("first")
	b.Cleanup(func() { // no reaper is here, where other tests have children of their own
		g.interpreter.kill()
		g.interpreter.close()
		if process, err := os.FindProcess(g.interpreter.pid); err == nil {
			_, _ = process.Wait()
		}
	})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		run(strconv.Itoa(n))
	}
}
