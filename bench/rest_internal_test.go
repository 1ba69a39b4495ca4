package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What sessions took out of pools is not what they added, and what pools made
// meanwhile is.
func TestStock_SharesWhatWasAdded(t *testing.T) {
	before := &stock{memory: 1000 * mib, ready: 60, footprint: &footprint{tasks: 500, descriptors: 130, anon: 40 * mib}}
	for name, test := range map[string]struct {
		ready, sessions, added int
	}{
		"pools as they were":  {60, 100, 100},
		"pools were emptied":  {20, 100, 60},
		"pools have grown":    {90, 100, 130},
		"one session, pooled": {59, 1, 0}, // nothing was added, and nothing to divide by
	} {
		// Each sandbox has 3 MiB, 8 tasks, 2 descriptors, and 16 KiB of the daemon.
		now := &stock{
			memory: before.memory - int64(test.added)*3*mib, ready: test.ready,
			footprint: &footprint{tasks: 500 + 8*test.added, descriptors: 130 + 2*test.added, anon: 40*mib + int64(test.added)*16*kib},
		}
		want := share{memory: 3 * mib, tasks: 8, descriptors: 2, daemon: 16 * kib}
		if test.added == 0 {
			want = share{}
		}
		added := now.added(before, test.sessions)
		if got := now.share(before, added); added != test.added || got != want {
			t.Errorf("%s: %d added, each %+v; want %d, %+v", name, added, got, test.added, want)
		}
		now.footprint = nil // a daemon of somebody else
		if got := now.share(before, added); got.memory != want.memory || got.tasks != 0 {
			t.Errorf("%s, not seen: %+v", name, got)
		}
	}
}

func TestStock_Rests(t *testing.T) {
	before := &stock{memory: 100 * mib, ready: 4, target: 4}
	for name, test := range map[string]struct {
		now  stock
		want bool
	}{
		"nothing changed":        {stock{memory: 99 * mib, ready: 4, target: 4}, true},
		"more than is wanted":    {stock{memory: 101 * mib, ready: 4, target: 3}, true},
		"memory falls":           {stock{memory: 97 * mib, ready: 4, target: 4}, false},
		"memory is given back":   {stock{memory: 103 * mib, ready: 4, target: 4}, false},
		"one is to be made":      {stock{memory: 100 * mib, ready: 4, target: 5}, false},
		"one was taken away":     {stock{memory: 100 * mib, ready: 3, target: 3}, false},
		"one has just been made": {stock{memory: 100 * mib, ready: 5, target: 5}, false},
	} {
		if got := test.now.rests(before); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestHolding_WaitsForPools(t *testing.T) {
	if _, err := os.Stat("/proc/meminfo"); err != nil {
		t.Skip("it reads /proc/meminfo")
	}
	for name, test := range map[string]struct {
		most int // that get ready, of 5
		note string
	}{
		"that fill":        {5, ""},
		"that do not fill": {3, "3 of 5 sandboxes are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, "sandwarden_pool_ready{template=\"python\"} %d\nsandwarden_pool_target{template=\"python\"} 5\n", min(looks.Add(1), int64(test.most)))
			}))
			defer server.Close()
			var notes []string
			o := Options{URL: server.URL, Settle: time.Millisecond, Note: func(note string) { notes = append(notes, note) }}
			h := &holding{client: newClient(o, 1), options: o}
			defer h.client.close()
			s, err := h.rest(t.Context())
			if err != nil || s.ready != test.most || s.memory <= 0 || looks.Load() > restLooks {
				t.Fatalf("%+v, %v after %d looks", s, err, looks.Load())
			}
			// Others on the machine may keep its memory from rest, which is told too.
			if told := strings.Join(notes, "\n"); test.note != "" && !strings.Contains(told, test.note) {
				t.Errorf("told %q, want %q", told, test.note)
			}
		})
	}
}
