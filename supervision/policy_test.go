package supervision_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandwarden/sandwarden/sandbox"
	"github.com/sandwarden/sandwarden/supervision"
)

func TestPlan(t *testing.T) {
	const free = supervision.Boundless
	type none = []int
	of := func(owner sandbox.Principal, memory ...int64) []supervision.Claim {
		var all []supervision.Claim
		for _, m := range memory {
			all = append(all, supervision.Claim{Owner: owner, Memory: m, CPUs: 1})
		}
		return all
	}
	x := func(memory ...int64) []supervision.Claim { return of("x", memory...) }
	held := func(x, y int) map[sandbox.Principal]int { return map[sandbox.Principal]int{"x": x, "y": y} }
	cases := map[string]struct {
		room         supervision.Room
		wants, idle  []supervision.Claim
		admit, evict []int
	}{
		"there is room":                          {supervision.Room{MaxSessions: 2, Host: free}, x(1, 1), nil, none{0, 1}, nil},
		"for one of two":                         {supervision.Room{MaxSessions: 1, Host: free}, x(1, 1), nil, none{0}, nil},
		"an idle one makes room":                 {supervision.Room{Sessions: 2, MaxSessions: 2, Host: free}, x(1), x(1, 1), nil, none{0}},
		"for each its own":                       {supervision.Room{Sessions: 3, MaxSessions: 3, Host: free}, x(1, 1), x(1, 1, 1), nil, none{0, 1}},
		"one on its way out is enough":           {supervision.Room{Sessions: 2, MaxSessions: 2, GoingSessions: 1, Host: free}, x(1), x(1), nil, nil},
		"but not for two":                        {supervision.Room{Sessions: 2, MaxSessions: 2, GoingSessions: 1, Host: free}, x(1, 1), x(1), nil, none{0}},
		"memory needs two":                       {supervision.Room{Sessions: 2, MaxSessions: 9, Memory: 4, MaxMemory: 4, Host: free}, x(4), x(2, 2), nil, none{0, 1}},
		"evicting all would not help":            {supervision.Room{Sessions: 3, MaxSessions: 9, Memory: 4, MaxMemory: 4, Host: free}, x(4), x(1, 1), nil, nil},
		"the first in line is not overtaken":     {supervision.Room{Sessions: 1, MaxSessions: 9, Memory: 3, MaxMemory: 4, Host: free}, x(4, 1), nil, nil, nil},
		"the host is full":                       {supervision.Room{Sessions: 3, MaxSessions: 9}, x(1, 1), x(1, 1), nil, none{0}},
		"the host is full and one is going":      {supervision.Room{Sessions: 3, MaxSessions: 9, GoingSessions: 1}, x(1), x(1), nil, nil},
		"the host is full and one has just gone": {supervision.Room{Sessions: 3, MaxSessions: 9, Relieved: true}, x(1), x(1), nil, nil},
		"nobody wants":                           {supervision.Room{MaxSessions: 9, Host: free}, nil, x(1), nil, nil},
		"processors":                             {supervision.Room{MaxSessions: 9, CPUs: 1, MaxCPUs: 2, Host: free}, x(1, 1), x(1), none{0}, none{0}},
		"who holds most loses":                   {supervision.Room{Sessions: 4, MaxSessions: 4, Held: held(1, 3), Host: free}, x(1), append(x(1), of("y", 1)...), nil, none{1}},
		"nobody with fewer loses":                {supervision.Room{Sessions: 4, MaxSessions: 4, Held: held(3, 1), Host: free}, x(1), append(of("y", 1), x(1)...), nil, none{1}},
		"and never for one who has as many":      {supervision.Room{Sessions: 4, MaxSessions: 4, Held: held(2, 2), Host: free}, x(1), of("y", 1, 1), nil, nil},
		"one who has all that he may":            {supervision.Room{Sessions: 2, MaxSessions: 9, Held: held(2, 0), MaxHeld: 2, Host: free}, x(1), append(of("y", 1), x(1)...), nil, none{1}},
		"is overtaken by others":                 {supervision.Room{Sessions: 2, MaxSessions: 9, Held: held(2, 0), MaxHeld: 2, Host: free}, append(x(1), of("y", 1)...), nil, none{1}, nil},
	}
	for name, tc := range cases {
		if admit, evict := tc.room.Plan(tc.wants, tc.idle); !slices.Equal(admit, tc.admit) || !slices.Equal(evict, tc.evict) {
			t.Errorf("%s: got %v admitted and %v evicted, want %v and %v", name, admit, evict, tc.admit, tc.evict)
		}
	}
}

func TestHost_Arithmetic(t *testing.T) {
	const gib, mib = int64(1) << 30, int64(1) << 20
	for total, want := range map[int64]int64{1 * gib: 256 * mib, 4 * gib: gib, 8 * gib: gib, 20 * gib: 2 * gib} {
		if got := supervision.Floor(total); got != want {
			t.Errorf("floor of %d: got %d, want %d", total, got, want)
		}
	}
	cases := map[string]struct {
		total        int64
		hostSessions int
		want         int
	}{
		"nothing known":     {0, 0, 1024},
		"by memory":         {4 * gib, 0, 1024},
		"by what else":      {24 * gib, 500, 500},
		"only what else":    {0, 5000, 5000},
		"a very small host": {2 * mib, 0, 1},
	}
	for name, tc := range cases {
		if got := supervision.DerivedSessions(tc.total, tc.hostSessions); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestCapFlavor(t *testing.T) {
	large := sandbox.Flavor{Name: "large", CPUs: 4, MemoryMB: 4096, DiskMB: 2048}
	if got := supervision.CapFlavor(large, 8, 8<<30); got != large {
		t.Errorf("got %+v", got)
	}
	got := supervision.CapFlavor(large, 2, 1<<30)
	if got.CPUs != 2 || got.MemoryMB != 1024 || got.DiskMB != 512 || got.Capped != "this host gives 2 of 4 CPUs and 1024 of 4096 MB of memory" {
		t.Errorf("got %+v", got)
	}
}

func TestPause_DoublesUpToAMost(t *testing.T) {
	for n, want := range map[int]time.Duration{
		0: 50 * time.Millisecond, 1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 4: 400 * time.Millisecond,
		8: 5 * time.Second, 1000: 5 * time.Second,
	} {
		if got := (supervision.Options{}).Pause(n); got != want {
			t.Errorf("pause %d: got %v, want %v", n, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	failed := func(name, message string) sandbox.ExecResult {
		return sandbox.ExecResult{Exit: sandbox.Exit{Code: 1, Failure: &sandbox.Failure{Name: name, Message: message}}}
	}
	said := func(status int, stderr string) sandbox.ExecResult {
		return sandbox.ExecResult{Stderr: []byte(stderr), Exit: sandbox.Exit{Code: status}}
	}
	cases := map[string]struct {
		result sandbox.ExecResult
		want   string // part of the hint; "" for none
	}{
		"Python has no such module": {failed("ModuleNotFoundError", "No module named 'requests'"), "package"},
		"Node has no such module":   {failed("Error", "Cannot find module 'axios'"), "package"},
		"Node, as a module":         {said(1, "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'axios'"), "package"},
		"no such command":           {said(127, "bash: line 1: git: command not found"), "command"},
		"a status says so":          {said(127, ""), "command"},
		"Python cannot resolve":     {failed("gaierror", "[Errno -3] Temporary failure in name resolution"), "no network"},
		"Python wraps it":           {failed("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>"), "no network"},
		"Node cannot resolve":       {failed("Error", "getaddrinfo EAI_AGAIN example.org"), "no network"},
		"curl cannot resolve":       {said(6, "curl: (6) Could not resolve host: example.org"), "no network"},
		"no route":                  {failed("OSError", "[Errno 101] Network is unreachable"), "no network"},
		"Node has no route":         {failed("Error", "connect ENETUNREACH 1.1.1.1:443"), "no network"},
		"pip cannot resolve":        {said(1, "ERROR: ... Temporary failure in name resolution\nERROR: No matching distribution"), "no network"},
		"an error of another kind":  {failed("ZeroDivisionError", "division by zero"), ""},
		"it only talks of it":       {said(0, "command not found"), ""},
		"it was long ago":           {said(1, "command not found"+strings.Repeat(" ", 5000)), ""},
		"nothing is wrong":          {sandbox.ExecResult{}, ""},
	}
	for name, tc := range cases {
		got := supervision.Hint(tc.result)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q, want one with %q", name, got, tc.want)
		}
	}
}
