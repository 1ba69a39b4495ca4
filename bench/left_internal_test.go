package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What a run leaves behind makes it fail. The daemon is this process.
func TestWatcher_FindsWhatIsLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it looks into /proc")
	}
	var session atomic.Value
	session.Store("")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mcp", echo)
	mux.HandleFunc("GET /v1/sessions", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"sessions":[{"session_id":"bench-of-before"},{"session_id":"another"}`+session.Load().(string)+`]}`)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for name, test := range map[string]struct {
		plant func(*testing.T)
		want  string
	}{
		"nothing":   {func(*testing.T) {}, ""},
		"a session": {func(*testing.T) { session.Store(`,{"session_id":"bench-new"}`) }, "sessions bench-new"},
		"descriptors": {func(t *testing.T) { //nolint:thelper // it is the test
			for range 2 * spareDescriptors {
				f, err := os.Open(os.DevNull)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { f.Close() })
			}
		}, " daemon's descriptors, before "},
		"a process": {func(t *testing.T) { //nolint:thelper // it is the test
			cmd := exec.CommandContext(t.Context(), "sleep", "600")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Wait() }) // killed with the context
		}, " processes, before "},
	} {
		t.Run(name, func(t *testing.T) {
			session.Store("")
			w, err := newWatcher(t.Context(), Options{URL: server.URL, Note: func(note string) { t.Error(note) }})
			if err != nil {
				t.Fatal(err)
			}
			w.wait = 200 * time.Millisecond
			test.plant(t)
			r, err := w.after(t.Context())
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want %q", err, test.want)
			}
			if r == nil || len(r.Figures) != 7 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Pools that have grown are no leak, as far as their sandboxes go; one sandbox
// beside them is.
func TestFootprint_LeavesOutWhatIsReady(t *testing.T) {
	then := &footprint{processes: 10, cgroups: 20, descriptors: 30, ready: 2}
	one := sandbox(&footprint{processes: 14, cgroups: 42, descriptors: 34, ready: 3}, then) // a session, and one more is ready
	if one.processes != 2 || one.cgroups != 11 || one.descriptors != 2 || one.mounts != 0 {
		t.Errorf("a sandbox has %+v", one)
	}
	now := &footprint{processes: 16, cgroups: 53, descriptors: 36, ready: 5}
	if more := now.more(then, one, 0); len(more) > 0 {
		t.Errorf("%q", more)
	}
	now.processes, now.cgroups, now.descriptors = 18, 64, 38
	if more := now.more(then, one, 4); len(more) != 2 || !strings.Contains(more[0], "processes, before 10") {
		t.Errorf("%q", more)
	}
	if one := sandbox(then, &footprint{ready: 9}); *one != *aSandbox() { // the pools were not at rest
		t.Errorf("%+v", one)
	}
	metrics := "# TYPE sandwarden_pool_ready gauge\nsandwarden_pool_ready{template=\"python\"} 3\nsandwarden_pool_ready{template=\"node\"} 2\nsandwarden_pool_target{template=\"node\"} 9\n"
	if ready, target := sumIn(metrics, "sandwarden_pool_ready"), sumIn(metrics, "sandwarden_pool_target"); ready != 5 || target != 9 {
		t.Errorf("%d of %d are ready, want 5 of 9", ready, target)
	}
}

func TestResident_IsSeen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it looks into /proc")
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	r, err := residentOf(Options{URL: server.URL})
	if err != nil || r.pid != os.Getpid() {
		t.Fatalf("%+v, %v; want process %d", r, err, os.Getpid())
	}
	f, err := r.look()
	if err != nil {
		t.Fatal(err)
	}
	if f.processes < 1 || f.tasks < 2 || f.descriptors < 4 || f.mounts < 1 || f.namespaces < 2 || f.rss < mib || f.anon < 1 || f.anon > f.rss {
		t.Errorf("%+v", f)
	}
	server.Close()
	if _, err := residentOf(Options{URL: server.URL}); err == nil {
		t.Error("a daemon that is gone was found")
	}
	if _, err := residentOf(Options{URL: "http://192.0.2.1:80"}); err == nil || !strings.Contains(err.Error(), "another machine") {
		t.Errorf("elsewhere: %v", err)
	}
}

// The jails that are installed give the sum, and others say that they are not.
func TestJails(t *testing.T) {
	python := defaultPython()
	if !strings.HasPrefix(python, "/usr/") {
		t.Skip("the jails need a python3 in /usr")
	}
	for _, j := range jails() {
		h, err := jailBaseline(t.Context(), j, python, 2)
		if err != nil {
			t.Logf("%v", err)
			continue
		}
		if h.TotalCount() != 2 {
			t.Errorf("%s: %d", j.name, h.TotalCount())
		}
	}
	t.Setenv("PATH", t.TempDir())
	for _, j := range jails() {
		if _, err := jailBaseline(t.Context(), j, python, 1); err == nil || !strings.Contains(err.Error(), j.name+" is not installed") {
			t.Errorf("%s: %v", j.name, err)
		}
	}
}

func TestPipe(t *testing.T) {
	python := defaultPython()
	if !strings.HasPrefix(python, "/usr/") {
		t.Skip("the baseline needs a python3")
	}
	h, err := pipeBaseline(t.Context(), python, 20*time.Millisecond)
	if err != nil || h.TotalCount() < 2 {
		t.Errorf("%v calls, %v", h, err)
	}
	if _, err := pipeBaseline(t.Context(), "/bin/true", time.Second); err == nil {
		t.Error("a program that does not answer was measured")
	}
}
