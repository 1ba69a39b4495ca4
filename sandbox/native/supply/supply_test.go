//go:build linux

package supply_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/sandwarden/sandwarden/sandbox/native/supply"
)

// host is a root with some files of the kernel.
func host(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestKernel_ReadsLimitsAndWhatIsUsed(t *testing.T) {
	all := supply.Kernel(host(map[string]string{
		"proc/loadavg":                     "0.10 0.20 0.30 2/345 6789\n",
		"proc/sys/kernel/pid_max":          "32768\n",
		"proc/sys/fs/file-max":             "9223372036854775807\n",
		"proc/sys/fs/file-nr":              "1234\t0\t9223372036854775807\n",
		"proc/sys/user/max_net_namespaces": "96365\n",
	}))
	want := []struct {
		limit     string
		used, max int64
		holds     int
	}{
		{"kernel.pid_max", 345, 32768, (32768 - 4096) / 10},
		{"fs.file-max", 1234, 1<<63 - 1, 1<<31 - 1},
		{"user.max_net_namespaces", -1, 96365, 96365 - 1024},
	}
	if len(all) != len(want) {
		t.Fatalf("got %+v", all)
	}
	for i, w := range want {
		if s := &all[i]; s.Limit != w.limit || s.Used != w.used || s.Max != w.max || s.Holds() != w.holds {
			t.Errorf("got %+v, which holds %d, want %+v", s, s.Holds(), w)
		}
	}
	if got := all[0].Raise(all[0].For(5000)); got != "sudo sysctl -w kernel.pid_max=131072" {
		t.Errorf("got %q", got)
	}
	if got := all[0].Raise(all[0].For(500_000)); !strings.Contains(got, "fewer") {
		t.Errorf("got %q", got)
	}
}

// What is not there, or is no number, is not known, and limits nothing.
func TestKernel_Unreadable(t *testing.T) {
	if all := supply.Kernel(host(map[string]string{"proc/sys/kernel/pid_max": "many\n"})); len(all) != 0 {
		t.Errorf("got %+v", all)
	}
	all := supply.Kernel(host(map[string]string{"proc/sys/kernel/pid_max": "32768\n", "proc/loadavg": "0.10 0.20"}))
	if len(all) != 1 || all[0].Used != -1 {
		t.Errorf("got %+v", all)
	}
}

// Each descriptor that is opened counts once, and the limit is that of this
// process.
func TestOpen_CountsThisProcess(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	most, before, err := supply.Open()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
	_, after, err := supply.Open()
	if err != nil || after != before+10 || uint64(most) != min(limit.Cur, 1<<31-1) {
		t.Errorf("%d, then %d of %d; %v", before, after, most, err)
	}
	if s := supply.Descriptors(most, after); s.Used != after || s.Max != most || s.Holds() == 0 {
		t.Errorf("got %+v", s)
	}
}
